"""The study's programs: paired runs, their statistics, efficiency, ablations and figures."""
