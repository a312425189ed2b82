"""Documents from files, archives, tables and the hub."""
