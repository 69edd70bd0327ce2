"""A name's addresses, one a line, by Python's getaddrinfo."""

import socket
import sys

for *_, address in socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_DGRAM):
    print(address[0])
