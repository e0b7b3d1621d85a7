# Maven, which builds Java projects, as its repository has it.
export def main [] {
  derivation {
    name: maven
    version: "3.9.11"
    license: Apache-2.0
    role: tool
    description: "Maven, which builds Java projects."
    src: (fetch maven org.apache.maven:apache-maven 3.9.11 --file apache-maven-3.9.11-bin.tar.gz --unpack archive --strip 1 --hash b3-lcvwvd6igifc5ijq2e4ejed4esvd4dhn5woq3wunriuake4vw2dq)
    build: {|b|
      mkdir $"($b.out)/share" $"($b.out)/bin"
      cp -r $b.src $"($b.out)/share/maven"
      chmod +x $"($b.out)/share/maven/bin/mvn"
      symlink ../share/maven/bin/mvn $"($b.out)/bin/mvn"
    }
  }
}
