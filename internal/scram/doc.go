// Package scram is SCRAM-SHA-256, both ends (RFC 5802, RFC 7677): each side proves to the other that it knows a secret, and
// neither the secret nor anything that could stand in for it crosses the wire or is kept by the server.
//
//	Client                                        Server
//	First   n,,n=pay,r=C                      ──►
//	                                          ◄── First   r=CS,s=salt,i=4096
//	Final   c=biws,r=CS,p=proof               ──►
//	                                          ◄── Final   v=signature
//	Verify
//
// State model: a Client and a Server are good for one login. Each step may be taken once and in this order; after an error
// no further step is possible. Neither is safe for concurrent use; a Directory is shared by all logins. The messages are
// opaque to the connection that carries them, at most MaxMessage bytes each.
//
// With channel binding (tls-exporter, RFC 9266) the proof also covers the TLS connection, so that nobody in the middle of two
// TLS connections can pass a login on. The client decides; a server may require it.
//
// Left out of the RFCs: authorization identities, extensions, and names beyond printable ASCII, all of which are refused; and
// SASLprep, because secrets are generated and used as the bytes they are.
//
// Failure: what breaks the format is ErrMalformed. A wrong secret, a proof from another login, an unknown user and an unknown
// key id are one error, ErrCredentials, and look and cost the same up to it: an unknown user is given a salt that is made from
// the user's name and a secret of the server. A server that does not prove itself is ErrServer, and the client must not go on.
package scram
