//! `fix shebangs|path` and `wrap exe`: making programs find what they need in the store.
use super::{Spec, fail, files, paths};
use crate::canon;
use nu_engine::command_prelude::*;
use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

thread_local! {
    /// The folders of the input packages of this build, in the order of their names.
    static INPUTS: RefCell<Vec<PathBuf>> = const { RefCell::new(vec![]) };
}

/// Says where the input packages are.
pub fn inputs(dirs: Vec<PathBuf>) {
    INPUTS.with(|i| *i.borrow_mut() = dirs);
}

/// The program `name` in the bin folder of an input package.
fn program(name: &str) -> Option<PathBuf> {
    INPUTS.with(|i| i.borrow().iter().map(|d| d.join("bin").join(name)).find(|p| fs::symlink_metadata(p).is_ok()))
}

fn globs() -> SyntaxShape {
    SyntaxShape::OneOf(vec![SyntaxShape::GlobPattern, SyntaxShape::String, SyntaxShape::List(Box::new(SyntaxShape::Any))])
}
fn none(s: Signature) -> Signature {
    s.input_output_types(vec![(Type::Nothing, Type::Nothing)])
}

pub const TABLE: &[Spec] = &[
    Spec {
        name: "fix shebangs", about: "Point the #! lines of scripts to programs of the input packages.",
        more: "Folders are searched. `#!/usr/bin/env lua` and `#!/bin/lua` become the path of lua in the store; a program that no input has is left as it is.",
        eval: false, run: shebangs,
        sign: |s| none(s).rest("paths", globs(), "Files and folders."),
        examples: &[("fix shebangs ($b.out | path join bin)", "All scripts of a folder.")],
    },
    Spec {
        name: "fix path", about: "Replace a path in text files.", more: "Folders are searched; binary files are left as they are.", eval: false, run: path,
        sign: |s| none(s).rest("paths", globs(), "Files and folders.")
            .named("from", SyntaxShape::String, "The text to replace.", None)
            .named("to", SyntaxShape::String, "What to put there.", None),
        examples: &[("fix path lib/pkgconfig --from /usr/local --to $b.out", "A path that was compiled in.")],
    },
    Spec {
        name: "wrap exe", about: "Write a program that runs another with given arguments and environment.",
        more: "The arguments stand before the caller's. A name without / is looked up in the input packages.", eval: false, run: wrap,
        sign: |s| none(s).required("path", SyntaxShape::Filepath, "The new program.").required("exe", SyntaxShape::String, "The program it runs.")
            .named("args", SyntaxShape::List(Box::new(SyntaxShape::Any)), "Arguments.", None)
            .named("env", SyntaxShape::record(), "Environment variables.", None),
        examples: &[("wrap exe ($b.out | path join bin cc) clang --args [--target=wasm32-wasip1]", "A compiler with its target.")],
    },
];

/// The regular files at and below the given paths.
fn walk(es: &EngineState, stack: &Stack, args: &[Value]) -> Result<Vec<(PathBuf, Span)>, ShellError> {
    fn add(p: PathBuf, span: Span, out: &mut Vec<(PathBuf, Span)>) -> Result<(), ShellError> {
        let m = fs::symlink_metadata(&p).map_err(|e| paths::io(e, "read", &p, span))?;
        if m.is_dir() {
            let mut below: Vec<_> = fs::read_dir(&p).map_err(|e| paths::io(e, "read", &p, span))?.filter_map(|e| Some(e.ok()?.path())).collect();
            below.sort();
            for b in below {
                add(b, span, out)?;
            }
        } else if m.is_file() {
            out.push((p, span));
        }
        Ok(())
    }
    let mut out = vec![];
    for (p, span) in paths::many(es, stack, args, false)? {
        add(p, span, &mut out)?;
    }
    Ok(out)
}

fn rewrite(p: &Path, data: Vec<u8>, span: Span) -> Result<(), ShellError> {
    // In place, so that the file stays executable.
    fs::write(p, data).map_err(|e| paths::io(e, "write", p, span))
}

fn shebangs(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    for (p, span) in walk(es, stack, &args)? {
        let data = fs::read(&p).map_err(|e| paths::io(e, "read", &p, span))?;
        if let Some(line) = new_shebang(&data) {
            let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
            let mut out = line.into_bytes();
            out.extend_from_slice(&data[end..]);
            rewrite(&p, out, span)?;
        }
    }
    Ok(PipelineData::empty())
}

fn new_shebang(data: &[u8]) -> Option<String> {
    let end = data.iter().take(4096).position(|b| *b == b'\n').unwrap_or(data.len().min(4096));
    let line = std::str::from_utf8(data.get(..end)?).ok()?.strip_prefix("#!")?.trim();
    let mut words = line.split_whitespace();
    let mut exe = words.next()?;
    if exe.starts_with("/nuka/store/") {
        return None;
    }
    if exe.rsplit('/').next() == Some("env") {
        exe = words.find(|w| !w.starts_with('-') && !w.contains('='))?;
    }
    let found = program(exe.rsplit('/').next()?)?;
    let rest: String = words.map(|w| format!(" {w}")).collect();
    Some(format!("#!{}{rest}", found.display()))
}

fn path(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    let flag = |stack: &mut Stack, n: &str| -> Result<String, ShellError> {
        call.get_flag::<String>(es, stack, n)?.ok_or_else(|| fail(format!("--{n} is missing"), call.head, "say --from OLD --to NEW"))
    };
    let (from, to) = (flag(stack, "from")?, flag(stack, "to")?);
    if from.is_empty() {
        return Err(fail("--from is empty", call.head, ""));
    }
    for (p, span) in walk(es, stack, &args)? {
        let data = fs::read(&p).map_err(|e| paths::io(e, "read", &p, span))?;
        if data.contains(&0) {
            continue;
        }
        let Ok(text) = String::from_utf8(data) else { continue };
        if text.contains(&from) {
            rewrite(&p, text.replace(&from, &to).into_bytes(), span)?;
        }
    }
    Ok(PipelineData::empty())
}

// Where a build puts its result.
const OUT: &str = "/nuka/out";

fn wrap(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let (at, exe): (Value, Value) = (call.req(es, stack, 0)?, call.req(es, stack, 1)?);
    let p = paths::one(es, stack, &at)?;
    let name = exe.as_str()?.to_string();
    let target = if name.contains('/') {
        paths::clean(&paths::abs(es, stack, &name))
    } else {
        program(&name).ok_or_else(|| fail(format!("no input package has the program {name}"), exe.span(), "list its package in `packages`, or give a path"))?
    };
    if target.starts_with("/nuka/build") {
        return Err(fail(
            format!("{} is no place that lasts", target.display()),
            exe.span(),
            "a program of this package is put in its out folder first",
        ));
    }
    let strings = |v: Value| v.coerce_into_string().map(|s| Value::string(s, call.head));
    let args: Option<Vec<Value>> = call.get_flag(es, stack, "args")?;
    let env: Option<Record> = call.get_flag(es, stack, "env")?;
    let args = args.unwrap_or_default().into_iter().map(strings).collect::<Result<Vec<_>, _>>()?;
    let mut vars = Record::new();
    for (k, v) in env.unwrap_or_default() {
        vars.push(k, strings(v)?);
    }
    // This package has another place once it is built. The wrapper says where in it it is, so that the place can be told.
    let own = |s: &str| s.match_indices(OUT).any(|(i, _)| !s[i + OUT.len()..].starts_with(|c: char| c.is_alphanumeric() || "_-.".contains(c)));
    let mut texts = vec![target.to_string_lossy().into_owned()];
    for v in args.iter().chain(vars.iter().map(|(_, v)| v)) {
        texts.push(v.as_str()?.to_string());
    }
    let mut spec = record! { "exe" => Value::string(target.to_string_lossy(), call.head) };
    if texts.iter().any(|s| own(s)) {
        let Ok(rest) = p.strip_prefix(OUT) else {
            return Err(fail("a wrapper that names files of this package must be in its out folder", at.span(), "put it below $b.out"));
        };
        spec.push("at", Value::string(rest.to_string_lossy(), call.head));
        spec.push("out", Value::string(OUT, call.head));
    }
    if !args.is_empty() {
        spec.push("args", Value::list(args, call.head));
    }
    if !vars.is_empty() {
        spec.push("env", Value::record(vars, call.head));
    }
    let text = format!("#!nuka-wrap\n{}\n", canon::canon(&Value::record(spec, call.head))?);
    if let Some(dir) = p.parent() {
        fs::create_dir_all(dir).map_err(|e| paths::io(e, "mkdir", dir, at.span()))?;
    }
    fs::write(&p, text).map_err(|e| paths::io(e, "write", &p, at.span()))?;
    files::set_executable(&p, true, at.span())?;
    Ok(PipelineData::empty())
}
