export def main [] { derivation { name: hello, version: "1", build: {|b| mkdir $"($b.out)/bin"; "hi there" | save $"($b.out)/hi"; print "built!" } } }
