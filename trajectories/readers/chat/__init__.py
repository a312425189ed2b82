"""Lists of chat messages, of APIs and of data sets."""
