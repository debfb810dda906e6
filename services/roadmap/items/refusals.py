"""What an item refuses. Each is named for what it refuses; see `shared.refusals`."""

from shared.refusals import Invalid, NotFound, Refusal


class ItemUnknown(NotFound):
    """No item has this id."""


class ItemNotPlanned(Refusal):
    """Only what is planned can be committed to."""


class ItemNotCommitted(Refusal):
    """Work starts on what was committed to."""


class ItemAlreadyDelivered(Refusal):
    """It shipped; what follows is measured."""


class ItemAlreadyCancelled(Refusal):
    """It will not be done."""


class CriterionIsCommitted(Refusal):
    """The success criterion can't change between the commitment and the measurement."""


class ThemeAlreadyInWork(Refusal):
    """Another item deals with this theme."""


class QuarterNotUnderstood(Invalid):
    """A quarter is written YYYYQn."""
