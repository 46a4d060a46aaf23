"""From a target to orders: guardrails, reconciliation and limits that know no engine, and what runs them in one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
