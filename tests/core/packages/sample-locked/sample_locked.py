"""Its import locks a mutex of the C library twice, and keeps the interpreter's lock, so that nothing else runs."""

import ctypes

library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
library.pthread_mutex_lock(mutex)
library.pthread_mutex_lock(mutex)
