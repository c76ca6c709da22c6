"""Opening of targets: each kind is loaded when it is used."""

from __future__ import annotations

from streamclf.notify.targets.base import Target
from streamclf.notify.targets.options import TargetOptions


def open_target(options: TargetOptions) -> Target:
    """Open a target; sends nothing.

    Raises:
        UsageError: A file or a variable that it names is missing, or what it needs is not
            installed.
    """
    if options.kind == "webhook":
        from streamclf.notify.targets.webhook import WebhookTarget

        return WebhookTarget(options)
    if options.kind == "apprise":
        from streamclf.notify.targets.apprise_target import AppriseTarget

        return AppriseTarget(options)
    from streamclf.notify.targets.command import CommandTarget

    return CommandTarget(options)
