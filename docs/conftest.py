"""The pages are doctests; the site's own programs, and what a build writes, are not."""

collect_ignore_glob = ["*.py", "_build/*", "site/*", "results/*", "figures/*", "api/*"]
