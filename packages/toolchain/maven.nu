# Maven, the build tool of Java projects, as its repository has it.
export def main [] {
  derivation {
    name: maven
    version: "3.9.11"
    license: Apache-2.0
    description: "Maven, the build tool of Java projects."
    src: (fetch maven org.apache.maven:apache-maven 3.9.11 --file apache-maven-3.9.11-bin.tar.gz --hash b3-lmoodem5vvrvziwmpwzznsweifxrxpzilddenc5uft67a52fdswq)
    build: {|b|
      mkdir $"($b.out)/share" $"($b.out)/bin"
      cp -r $b.src $"($b.out)/share/maven"
      chmod +x $"($b.out)/share/maven/bin/mvn"
      symlink ../share/maven/bin/mvn $"($b.out)/bin/mvn"
    }
  }
}
