"""`groundswell run`, from this tree."""

from services.cli import app

if __name__ == "__main__":
    app(["run"])
