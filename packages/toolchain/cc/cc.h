// strip removes the names of functions and what else only debuggers read from the programs that it is given.
int strip(int argc, char **argv);
// make_common makes the variables of an object that have no value common to all objects that define them. It returns 0 or the status of an error that it has told.
int make_common(const char *object);
// mismatched reports whether a linked program has stubs in place of functions that it calls by a declaration of another type.
int mismatched(const char *program);
// cast_functions lets a linked program call functions by declarations of other types, as the machines do for which it was written: arguments are
// converted, what is missing is 0. all is for calls by a pointer, too, which makes each of these slower. It returns 0 or the status of an error.
int cast_functions(const char *program, int all);
// lower_exceptions makes the exceptions of a linked program plain code, if it has any. It returns 0 or the status of an error.
int lower_exceptions(const char *program);
