module beeline/tests/clients/go

go 1.26
