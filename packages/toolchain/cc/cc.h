// strip removes the names of functions and what else only debuggers read from the programs that it is given.
int strip(int argc, char **argv);
