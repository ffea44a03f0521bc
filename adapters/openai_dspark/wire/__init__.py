"""What goes over the wire, one noun per file: requests, replies, chunks, errors."""
