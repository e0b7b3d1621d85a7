//! `derivation` and `fetch …`: what package files are made of. The host checks fields and computes PIDs.
use super::{Spec, a, fail};
use crate::{canon, diag, freeze, host, load, memo::Package};
use nu_engine::command_prelude::*;
use serde_json::json;
use std::any::Any;

fn out(s: Signature) -> Signature {
    s.input_output_types(vec![(Type::Nothing, Type::record())])
}
fn hash(s: Signature) -> Signature {
    s.named("hash", SyntaxShape::String, "What it must be: b3-… for the tree, or sha256-…, sha512-…, h1:… as its registry prints it.", None)
}
fn tree(s: Signature) -> Signature {
    hash(s)
        .named("strip", SyntaxShape::Int, "Leading folders to drop from every name of an archive.", None)
        .named("unpack", SyntaxShape::String, "file keeps it as one file, archive unpacks it.", None)
}
fn registry(s: Signature, of: &'static str) -> Signature {
    tree(out(s).required("name", SyntaxShape::String, of).required("version", SyntaxShape::String, "Its exact version."))
}

const FETCH: &str = "Nothing is downloaded while package files are evaluated. Without --hash the error tells the hash to paste.";

pub const TABLE: &[Spec] = &[
    Spec {
        name: "derivation", about: "Describe a package; the result names it by its PID.",
        more: "Fields: name, version, license, src, packages, build, env, run, commands, platform, os, data.\n`packages` is a list or a record of packages: calls such as (zlib --minizip), or module variables such as $zlib.\n`build` is a closure with one parameter: {name, version, src, packages, out, jobs}.",
        eval: true, run: derivation,
        sign: |s| out(s).required("spec", SyntaxShape::record(), "The description."),
        examples: &[("derivation {name: hello, version: \"1\", build: {|b| mkdir $b.out; \"hi\" | save ($b.out | path join greeting) }}", "A package of one file.")],
    },
    Spec {
        name: "fetch", about: "A source: a file or folder that a package is made from.", more: "The kinds are the subcommands: fetch url, fetch npm and so on.", eval: true,
        run: no_kind,
        sign: |s| out(s).optional("kind", SyntaxShape::String, "What kind of source.").rest("rest", SyntaxShape::Any, "What the kind wants.").allows_unknown_args(),
        examples: &[("fetch npm is-odd 3.0.1 --hash sha512-aaaa", "A package of the npm registry.")],
    },
    Spec {
        name: "fetch url", about: "A file or archive from a URL.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("url", &["url"], e, s, c),
        sign: |s| tree(out(s).required("url", SyntaxShape::String, "Where it is.")).named("name", SyntaxShape::String, "A name for messages.", None),
        examples: &[("fetch url https://example.org/a-1.tar.gz --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --strip 1", "A source archive.")],
    },
    Spec {
        name: "fetch git", about: "A commit of a git repository.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("git", &["url"], e, s, c),
        sign: |s| hash(out(s).required("url", SyntaxShape::String, "The repository.").named("rev", SyntaxShape::String, "The commit or tag.", None))
            .switch("submodules", "Take its submodules too, each at the commit that the tree names.", None),
        examples: &[
            ("fetch git https://example.org/a.git --rev v1 --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "A tag."),
            ("fetch git https://example.org/a.git --rev v1 --submodules --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "With its submodules."),
        ],
    },
    Spec {
        name: "fetch path", about: "A file or folder beside the package file.", more: "It is read now, and its content is part of the package.", eval: true,
        run: |e, s, c, _| fetch("path", &["path"], e, s, c),
        sign: |s| out(s).required("path", SyntaxShape::String, "Relative to the file that says it.").switch("all", "Take .git folders too.", None)
            .switch("gitignore", "Leave out what the .gitignore files of the folder name.", None),
        examples: &[("fetch path ./src", "The sources beside the package file."), ("fetch path . --gitignore", "Without what a compiler left there.")],
    },
    Spec {
        name: "fetch npm", about: "A package of the npm registry.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("npm", &["name", "version"], e, s, c),
        sign: |s| registry(s, "Its name, such as @scope/name."),
        examples: &[("fetch npm is-odd 3.0.1 --hash sha512-aaaa", "A package.")],
    },
    Spec {
        name: "fetch pypi", about: "A file of a release on the Python package index.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("pypi", &["name", "version"], e, s, c),
        sign: |s| registry(s, "The project.").named("file", SyntaxShape::String, "Which file of the release: a pattern such as *.tar.gz.", None),
        examples: &[("fetch pypi six 1.17.0 --file *.tar.gz --hash sha256-aaaa", "The source of a release.")],
    },
    Spec {
        name: "fetch crate", about: "A crate of the Rust registry.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("crate", &["name", "version"], e, s, c),
        sign: |s| registry(s, "The crate."),
        examples: &[("fetch crate libz-sys 1.1.20 --hash sha256-aaaa", "A crate.")],
    },
    Spec {
        name: "fetch go", about: "A Go module.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("go", &["name", "version"], e, s, c),
        sign: |s| registry(s, "The module's path."),
        examples: &[("fetch go golang.org/x/mod v0.41.0 --hash h1:aaaa", "A module.")],
    },
    Spec {
        name: "fetch deb", about: "A Debian binary package.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("deb", &["name", "version"], e, s, c),
        sign: |s| registry(s, "The package.").named("arch", SyntaxShape::String, "The architecture, such as amd64.", None),
        examples: &[("fetch deb zlib1g 1:1.3.dfsg-3 --arch amd64 --hash sha256-aaaa", "A library.")],
    },
    Spec {
        name: "fetch debsrc", about: "A Debian source package, or a file of it.", more: FETCH, eval: true,
        run: |e, s, c, _| fetch("debsrc", &["name", "version"], e, s, c),
        sign: |s| registry(s, "The source package.").named("file", SyntaxShape::String, "Which file: a pattern such as *.orig.tar.*.", None)
            .switch("patches", "All originals, with Debian's patches applied in their order.", None),
        examples: &[
            ("fetch debsrc zlib 1:1.3.dfsg-3 --hash sha256-aaaa", "The upstream source."),
            ("fetch debsrc zlib 1:1.3.dfsg-3 --patches --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "As Debian builds it."),
        ],
    },
];

fn ask(op: &str, arg: serde_json::Value, head: Span, place: impl Fn(&str) -> Option<Span>) -> Result<PipelineData, ShellError> {
    match host::call(op, arg) {
        Ok(v) => Ok(canon::read(v.as_str().unwrap_or("null"), head)?.with_span(head).into_pipeline_data()),
        Err(r) => {
            let span = r.field.as_deref().and_then(place).unwrap_or(head);
            Err(r.at(span))
        }
    }
}

/// The package file that `span` is in.
fn file_of(es: &EngineState, span: Span) -> String {
    es.files().find(|f| f.covered_span.contains(span.start)).map(|f| f.name.to_string()).unwrap_or_default()
}

fn derivation(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let spec: Value = call.req(es, stack, 0)?;
    let rec = spec.as_record()?;
    let mut sent = Record::new();
    let mut texts = vec![];
    for (field, v) in rec.iter() {
        let v = match field.as_str() {
            "packages" => packages(es, stack, v)?,
            "src" => sources(es, stack, v)?,
            "build" => match v {
                Value::Closure { val, .. } => {
                    let (frozen, places) = freeze::closure_at(es, val, v.span())?;
                    texts = places.into_iter().map(|(name, span)| json!({"name": name, "at": diag::place(es, span)})).collect();
                    frozen
                }
                Value::Nothing { .. } => continue,
                other => return Err(fail(format!("`build` is {}", a(&other.get_type())), other.span(), "write a closure: build: {|b| … }")),
            },
            load::MODULE_KEY => continue,
            _ => freeze::value(es, v)?,
        };
        sent.push(field.clone(), v);
    }
    let text = canon::canon(&Value::record(sent, spec.span()))?;
    let arg = json!({"spec": text, "file": file_of(es, call.head), "at": diag::place(es, call.head), "texts": texts});
    ask("derivation", arg, call.head, |field| {
        let mut v = &spec;
        for name in field.split('.') {
            v = v.as_record().ok().and_then(|r| r.get(name)).unwrap_or(v);
        }
        Some(v.span())
    })
}

/// A dependency as {name, pid}. A module stands for its `main` without arguments.
fn dependency(es: &EngineState, stack: &Stack, v: &Value) -> Result<(String, String), ShellError> {
    let span = v.span();
    let Value::Record { val, .. } = v else {
        let hint = match v {
            Value::String { val, .. } => format!("write ({val}) or ${val} after `use {val}.nu`"),
            Value::Closure { .. } => "call it".to_string(),
            _ => "write (name) or $name after `use name.nu`".to_string(),
        };
        return Err(fail(format!("{} is no package", a(&v.get_type())), span, hint));
    };
    let text = |r: &Record, k: &str| r.get(k).and_then(|x| x.as_str().ok()).map(str::to_string);
    if let Some(pid) = text(val, "pid") {
        return Ok((text(val, "name").unwrap_or_default(), pid));
    }
    let Some(path) = text(val, load::MODULE_KEY) else {
        return Err(fail("this record is no package", span, "a package is what `derivation` returns, or a module variable such as $zlib"));
    };
    let package = load::module(&path).and_then(|id| es.get_module(id).main).and_then(|id| (es.get_decl(id) as &dyn Any).downcast_ref::<Package>());
    let Some(package) = package else {
        return Err(fail(format!("{path} is no package"), span, "it has no `export def main`"));
    };
    match package.plain(es, stack, span)? {
        Value::Record { val, .. } if val.contains("pid") => Ok((text(&val, "name").unwrap_or_default(), text(&val, "pid").unwrap_or_default())),
        other => Err(fail(format!("{path} returns {}, no package", a(&other.get_type())), span, "its `main` must end in `derivation`")),
    }
}

fn packages(es: &EngineState, stack: &Stack, v: &Value) -> Result<Value, ShellError> {
    let mut r = Record::new();
    match v {
        Value::Nothing { .. } => {}
        Value::List { vals, .. } => {
            for x in vals.iter().filter(|x| !x.is_nothing()) {
                let (name, pid) = dependency(es, stack, x)?;
                if name.is_empty() {
                    return Err(fail("this package has no name", x.span(), "give it one: packages: {name: …}"));
                }
                match r.get(&name) {
                    Some(Value::String { val, .. }) if *val == pid => {}
                    Some(_) => {
                        return Err(fail(
                            format!("two different packages are called `{name}`"),
                            x.span(),
                            format!("name them yourself: packages: {{{name}: …, {name}2: …}}"),
                        ));
                    }
                    None => r.push(name, Value::string(pid, x.span())),
                }
            }
        }
        Value::Record { val, .. } if val.contains("pid") || val.contains(load::MODULE_KEY) => {
            return Err(fail("`packages` is one package", v.span(), "write a list: packages: [ … ]"));
        }
        Value::Record { val, .. } => {
            for (name, x) in val.iter().filter(|(_, x)| !x.is_nothing()) {
                r.push(name.clone(), Value::string(dependency(es, stack, x)?.1, x.span()));
            }
        }
        other => return Err(fail(format!("`packages` is {}", a(&other.get_type())), other.span(), "write a list: packages: [ … ]")),
    }
    Ok(Value::record(r, v.span()))
}

fn sources(es: &EngineState, stack: &Stack, v: &Value) -> Result<Value, ShellError> {
    let one = |x: &Value| match x {
        Value::String { .. } => Err(fail("`src` is a string", x.span(), "fetch it: src: (fetch url …), src: (fetch path ./src)")),
        x => Ok(Value::string(dependency(es, stack, x)?.1, x.span())),
    };
    match v {
        Value::Nothing { .. } => Ok(v.clone()),
        Value::Record { val, .. } if !val.contains("pid") && !val.contains(load::MODULE_KEY) => {
            let mut r = Record::new();
            for (name, x) in val.iter().filter(|(_, x)| !x.is_nothing()) {
                r.push(name.clone(), one(x)?);
            }
            Ok(Value::record(r, v.span()))
        }
        v => one(v),
    }
}

fn fetch(kind: &str, positional: &[&str], es: &EngineState, stack: &mut Stack, call: &Call) -> Result<PipelineData, ShellError> {
    let mut args = Record::new();
    for (i, name) in positional.iter().enumerate() {
        args.push(*name, call.req::<Value>(es, stack, i)?);
    }
    for name in ["hash", "rev", "strip", "unpack", "file", "arch", "name"] {
        if !args.contains(name)
            && let Some(v) = call.get_flag::<Value>(es, stack, name)?
        {
            args.push(name, v);
        }
    }
    for name in ["patches", "all", "gitignore", "submodules"] {
        if call.has_flag(es, stack, name)? {
            args.push(name, Value::bool(true, call.head));
        }
    }
    let v = Value::record(args, call.head);
    let text = canon::canon(&freeze::value(es, &v)?)?;
    let arg = json!({"kind": kind, "args": text, "file": file_of(es, call.head), "at": diag::place(es, call.head)});
    ask("fetch", arg, call.head, |field| v.as_record().ok()?.get(field).map(Value::span))
}

/// Runs for a kind of source that there is not, and for none.
fn no_kind(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let kinds: Vec<_> = TABLE.iter().filter_map(|s| s.name.strip_prefix("fetch ")).collect();
    let help = format!("the kinds are {}", kinds.join(", "));
    Err(match call.opt::<Value>(es, stack, 0)? {
        None => fail("fetch: what kind of source?", call.head, help),
        Some(v) => fail(format!("fetch: there is no kind of source `{}`", v.to_expanded_string("", &es.config)), v.span(), help),
    })
}
