"""How an item is shown beside the themes and the feedback that it deals with."""

from datetime import datetime

from services.feedback.items.store import Item
from shared.http.fields import View


class ItemOfThemeView(View):
    """The roadmap item that deals with a theme, as last heard."""

    item_id: str
    title: str
    state: str
    horizon: str
    quarter: str | None
    delivered_at: datetime | None


def item_view(item: Item | None) -> ItemOfThemeView | None:
    return None if item is None else ItemOfThemeView.model_validate(item)
