# Arguments: seconds, the program. Runs a program that only reads, and takes no lock.
need cat dd flock grep head id kill mkdir mkfifo rm setsid sleep sync tail tee timeout wc
take_in reads "$2"
run reads "$1"
say ended "$code"
