"""Field types of plans, for request bodies."""

from typing import Annotated

from pydantic import Field, StringConstraints

from services.roadmap.scores.score import DURATION_BOUNDS, EFFORT_BOUNDS

Quarter = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9]{2}Q[1-4]$"),
    Field(description="a calendar quarter", examples=["2026Q4"]),
]

Effort = Annotated[
    float,
    Field(
        ge=EFFORT_BOUNDS[0], le=EFFORT_BOUNDS[1], allow_inf_nan=False, description="person-months"
    ),
]

Duration = Annotated[
    float,
    Field(ge=DURATION_BOUNDS[0], le=DURATION_BOUNDS[1], allow_inf_nan=False, description="weeks"),
]

Reduction = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="the share of the themes' incidents that shall go away; 0.5 is a halving",
    ),
]
