"""The page, the studio, and the HTTP API behind them: `nonesuch web`. Needs the extra `web`."""
