/* A name's addresses, one a line, by the C library's getaddrinfo; built statically against musl. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **words)
{
	struct addrinfo hints, *found, *entry;
	char text[INET6_ADDRSTRLEN];
	const void *address;
	int error;

	if (count != 2) {
		fprintf(stderr, "usage: %s NAME\n", words[0]);
		return 2;
	}
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_DGRAM;
	error = getaddrinfo(words[1], NULL, &hints, &found);
	if (error) {
		fprintf(stderr, "%s: %s\n", words[1], gai_strerror(error));
		return 1;
	}
	for (entry = found; entry; entry = entry->ai_next) {
		if (entry->ai_family == AF_INET6)
			address = &((struct sockaddr_in6 *)entry->ai_addr)->sin6_addr;
		else
			address = &((struct sockaddr_in *)entry->ai_addr)->sin_addr;
		puts(inet_ntop(entry->ai_family, address, text, sizeof(text)));
	}
	freeaddrinfo(found);
	return 0;
}
