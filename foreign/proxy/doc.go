// Package proxy is the way to the network of a foreign program that may reach some hosts only: an HTTP proxy that connects to what is allowed.
//
// The program has a network of its own, in which nothing is but the proxy. So a program that does not use the proxy of its environment (HTTPS_PROXY, HTTP_PROXY)
// reaches nothing: there is no other way out, also not by UDP. What passes inside a connection is not looked at, and two names that one server serves under
// one address and one certificate cannot be told apart.
package proxy
