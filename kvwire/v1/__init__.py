"""Generated from proto/kvwire/v1 by ``make proto``; never edited by hand."""
