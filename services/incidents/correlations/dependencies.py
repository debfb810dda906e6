"""Which services depend on which, as the catalog says, directly or over some others. Pure."""

from collections.abc import Iterable, Mapping, Sequence


class Dependencies:
    """Answers by what the catalog says; a dependency may be stated by any name of a service."""

    def __init__(
        self, stated: Mapping[str, Sequence[str]], aliases: Mapping[str, str] | None = None
    ) -> None:
        names = aliases or {}
        self._direct = {
            service: frozenset(names.get(one, one) for one in some) - {service}
            for service, some in stated.items()
        }
        self._found: dict[tuple[str, int], Mapping[str, int]] = {}

    def upstream(self, service: str, hops: int) -> Mapping[str, int]:
        """What the service depends on, over at most so many steps; and over how many."""
        found = self._found.get((service, hops))
        if found is None:
            found = self._found[service, hops] = self._searched(service, hops)
        return found

    def joins(self, one: str, other: str, hops: int) -> bool:
        """Are they the same service, or does either depend on the other?"""
        return (
            one == other or other in self.upstream(one, hops) or one in self.upstream(other, hops)
        )

    def _searched(self, service: str, hops: int) -> dict[str, int]:
        found: dict[str, int] = {}
        edge: Iterable[str] = [service]
        for steps in range(1, hops + 1):
            edge = {two for one in edge for two in self._direct.get(one, ())}
            edge -= found.keys() | {service}
            found |= dict.fromkeys(edge, steps)
        return found


NONE = Dependencies({})
