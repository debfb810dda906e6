"""Settings of the gateway alone: where the services are, and the two secrets of the API keys."""

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.gateway.access.domain import is_strong


class GatewaySettings(BaseSettings):
    """Read once at the start; a bad value stops it with a clear sentence. Secrets are never shown."""

    model_config = SettingsConfigDict(
        env_prefix="GROUNDSWELL_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    incidents_url: str = Field(default="http://incidents:8080", description="where incidents is")
    feedback_url: str = Field(default="http://feedback:8080", description="where feedback is")
    roadmap_url: str = Field(default="http://roadmap:8080", description="where roadmap is")
    pepper: SecretStr | None = Field(
        default=None,
        description="64 hexadecimal digits under which keys are hashed; unset: from the data folder",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        description="becomes the first admin key, where none is active; unset: made in a file",
    )

    @field_validator("incidents_url", "feedback_url", "roadmap_url")
    @classmethod
    def _is_address(cls, stated: str) -> str:
        parts = urlsplit(stated)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("write it as http://host:8080")
        return stated.rstrip("/")

    @field_validator("pepper")
    @classmethod
    def _is_long(cls, stated: SecretStr | None) -> SecretStr | None:
        if stated is not None:
            try:
                long_enough = len(bytes.fromhex(stated.get_secret_value())) >= 32
            except ValueError:
                long_enough = False
            if not long_enough:
                raise ValueError("send 64 hexadecimal digits; `groundswell secrets` makes some")
        return stated

    @field_validator("admin_key")
    @classmethod
    def _is_key(cls, stated: SecretStr | None) -> SecretStr | None:
        if stated is not None and not is_strong(stated.get_secret_value()):
            raise ValueError("it must be a key as `groundswell secrets` makes it: gs_…_…")
        return stated

    def urls(self) -> dict[str, str]:
        """Service → where it answers."""
        return {
            "incidents": self.incidents_url,
            "feedback": self.feedback_url,
            "roadmap": self.roadmap_url,
        }
