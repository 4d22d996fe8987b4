"""Cannot be imported, as when a shared library is missing."""

raise OSError("libsample.so.1: cannot open shared object file")
