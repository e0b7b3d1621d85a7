//! `derivation`: what a package is made of. The host checks fields and computes PIDs.
use super::{Spec, a, fail};
use crate::{
    canon, diag, freeze, host, load,
    memo::{self, Package},
};
use nu_engine::command_prelude::*;
use serde_json::json;
use std::any::Any;

pub const TABLE: &[Spec] = &[
    Spec {
        name: "derivation", about: "Describe a package; the result names it by its PID.",
        more: "Fields: name, version, license, src, packages, build, env, merge, layout, run, commands, platform, runtime, recording, os, data.\n\
            `packages` is a list or a record of packages: calls such as (zlib --minizip), or module variables such as $zlib.\n\
            `build` is a closure with one parameter: {name, version, src, packages, out, jobs}.\n\
            `merge`, of an environment: for packages by name, a record of priority, leave and rename.\n\
            `layout`, of an environment: fhs-1 makes one tree of Debian packages.\n\
            `runtime`: an environment with a layout; the build is native and drives its programs.\n\
            `recording`, of a native build: what its package manager asked of its registries, fetched by `fetch recording`.",
        eval: true, run: derivation,
        sign: |s| package(s).required("spec", SyntaxShape::record(), "The description."),
        examples: &[("derivation {name: hello, version: \"1\", build: {|b| mkdir $b.out; \"hi\" | save ($b.out | path join greeting) }}", "A package of one file.")],
    },
];

/// The signature of a command that describes a package.
pub fn package(s: Signature) -> Signature {
    s.input_output_types(vec![(Type::Nothing, Type::record())])
}

/// Asks the host to describe a package. It answers with a record of texts.
pub fn ask(op: &str, arg: serde_json::Value, head: Span, place: impl Fn(&str) -> Option<Span>) -> Result<PipelineData, ShellError> {
    if memo::suspended() {
        return Err(memo::suspension(head));
    }
    match host::call(op, arg) {
        Ok(v) => {
            let fields = v.as_object().into_iter().flatten();
            let record: Record = fields.map(|(k, v)| (k.clone(), Value::string(v.as_str().unwrap_or_default(), head))).collect();
            Ok(Value::record(record, head).into_pipeline_data())
        }
        Err(r) => {
            let span = r.field.as_deref().and_then(place).unwrap_or(head);
            Err(r.at(span))
        }
    }
}

/// The package file that `span` is in.
pub fn file_of(es: &EngineState, span: Span) -> String {
    diag::file_at(es, span.start).map(|f| f.name.to_string()).unwrap_or_default()
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
