"""The command line."""

from streamclf.core.early_interrupts import finish_native_imports, hide_interrupt_traceback

finish_native_imports()
hide_interrupt_traceback()
