"""SWE-bench tasks: their images, the box an agent works in, and the judge."""
