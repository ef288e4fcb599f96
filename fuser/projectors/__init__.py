"""One fuser per file; each implements :class:`fuser.base.Fuser`."""
