"""Callbacks for trainers: `dsptorch.integrations.huggingface` and `dsptorch.integrations.lightning`.

Each imports its trainer, so that neither is imported here. The extra: `pip install 'dsptorch[integrations]'`.
"""
