"""Records made by hand."""

from made_records import failed, fifteen, record, score, scored  # noqa: F401 - fixtures
