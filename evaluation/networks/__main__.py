"""The weights of the metrics' networks: ``python -m evaluation.networks fetch``."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Get the weights of the metrics' networks: ``python -m evaluation.metrics.motion fetch``."""
    from evaluation.networks.download import main as run

    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
