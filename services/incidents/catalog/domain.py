"""A catalog entry, and what is said of services that the catalog does not know."""

from dataclasses import dataclass, replace

UNASSIGNED = "unassigned"
"""The service, and the product, of what nobody has claimed yet."""

DEFAULT_TIER = 3


@dataclass(frozen=True, slots=True)
class RegisterService:
    """Enter a service, or replace its entry. `tier` 1 is the most vital, 4 the least."""

    name: str
    product: str
    owner: str | None = None
    tier: int = DEFAULT_TIER
    dependencies: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A catalog entry. `aliases` are other names that senders use for it."""

    name: str
    product: str
    owner: str | None
    tier: int
    dependencies: tuple[str, ...]
    aliases: tuple[str, ...]
    version: int


def registered(current: Service | None, command: RegisterService) -> Service:
    """The entry after `command`; the very same object when it changes nothing."""
    entry = Service(
        name=command.name,
        product=command.product,
        owner=command.owner,
        tier=command.tier,
        dependencies=command.dependencies,
        aliases=command.aliases,
        version=current.version if current else 1,
    )
    if current is None:
        return entry
    return current if entry == current else replace(entry, version=current.version + 1)
