//! Running programs: `^name` and `run-all`.
use super::{Spec, a, fail, paths};
use crate::host;
use base64::{Engine, engine::general_purpose::STANDARD};
use nu_engine::command_prelude::*;
use nu_protocol::OutDest;
use serde_json::{Value as Json, json};
use std::io::Write;

pub const TABLE: &[Spec] = &[
    Spec {
        name: "run-external", about: "Run a program of the input packages; written ^name.",
        more: "The name is looked up in the bin folders of the packages. A program that fails ends the build; catch it with `try`.",
        eval: false, run: external,
        sign: |s| s.input_output_types(vec![(Type::Any, Type::Any)])
            .rest("command", SyntaxShape::OneOf(vec![SyntaxShape::GlobPattern, SyntaxShape::Any]), "The program and its arguments.")
            .category(Category::System),
        examples: &[("^clang --version", "Run a program."), ("let v = (^clang --version | lines | first)", "Use what it prints.")],
    },
    Spec {
        name: "run-all", about: "Run many programs at once, on all cores.",
        more: "The input is a list of commands, each a list [program argument …] or a record {run: [program argument …], cwd?, env?, stdin?}.\nThe result is a list of {exit, stdout, stderr} in the same order. The first command that fails ends the build.",
        eval: false, run: run_all,
        sign: |s| s.input_output_types(vec![(Type::Any, Type::table())])
            .switch("ignore-errors", "Return the exit codes of failing programs.", Some('i'))
            .named("jobs", SyntaxShape::Int, "At most this many at once.", Some('j')),
        examples: &[("glob *.c | each {|f| [clang -c $f -o $\"($f).o\"] } | run-all", "Compile all files of a folder.")],
    },
];

/// One argument may become several: patterns are expanded, lists spread.
fn arguments(es: &EngineState, stack: &Stack, vals: Vec<Value>) -> Result<Vec<String>, ShellError> {
    let mut out = vec![];
    for v in vals {
        match v {
            Value::Glob { val, no_expand: false, internal_span, .. } if val.contains(['*', '?', '[']) => {
                let cwd = paths::cwd(es, stack);
                let found = paths::matches(&cwd, &val, internal_span)?;
                if found.is_empty() {
                    out.push(val);
                    continue;
                }
                let absolute = val.starts_with('/');
                out.extend(found.iter().map(|p| if absolute { p } else { p.strip_prefix(&cwd).unwrap_or(p) }.to_string_lossy().into_owned()));
            }
            Value::List { vals, .. } => out.extend(arguments(es, stack, vals.to_vec())?),
            Value::Nothing { internal_span, .. } => return Err(fail("null is no argument of a program", internal_span, "leave it out, or use `compact`")),
            v => {
                let (span, ty) = (v.span(), v.get_type());
                out.push(v.coerce_into_string().map_err(|_| fail(format!("{} is no argument of a program", a(&ty)), span, "make it a string"))?);
            }
        }
    }
    Ok(out)
}

fn env(es: &EngineState, stack: &Stack) -> serde_json::Map<String, Json> {
    let mut m: Vec<(String, Json)> = stack
        .get_env_vars(es)
        .into_iter()
        .filter_map(|(k, v)| Some((k.to_string(), Json::String(v.coerce_into_string().ok()?))))
        .collect();
    m.sort_by(|a, b| a.0.cmp(&b.0));
    m.into_iter().collect()
}

fn decode(v: &Json) -> Vec<u8> {
    STANDARD.decode(v.as_str().unwrap_or_default()).unwrap_or_default()
}

fn shown(argv: &[String]) -> String {
    let line = argv
        .iter()
        .map(|a| if a.is_empty() || a.contains([' ', '"', '\'', '\n']) { format!("{a:?}") } else { a.clone() })
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(100) {
        Some((i, _)) => format!("{} …", &line[..i]),
        None => line,
    }
}

fn failed(argv: &[String], exit: i64, tail: &[u8], span: Span) -> ShellError {
    let tail = String::from_utf8_lossy(tail);
    let tail = tail.trim_end();
    let help = if tail.is_empty() { String::new() } else { format!("it said:\n{tail}") };
    fail(format!("^{} exited with {exit}", shown(argv)), span, help)
}

enum Sink<'a> {
    Capture,
    Log,
    Null,
    File(&'a std::fs::File),
}

fn sink(d: &OutDest) -> Sink<'_> {
    match d {
        OutDest::Pipe | OutDest::PipeSeparate | OutDest::Value => Sink::Capture,
        OutDest::Null => Sink::Null,
        OutDest::Inherit | OutDest::Print => Sink::Log,
        OutDest::File(f) => Sink::File(f),
    }
}

fn word(s: &Sink) -> &'static str {
    match s {
        Sink::Capture | Sink::File(_) => "capture",
        Sink::Log => "log",
        Sink::Null => "null",
    }
}

fn external(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    let words = call.rest::<Value>(es, stack, 0)?;
    let argv = arguments(es, stack, words)?;
    if argv.is_empty() {
        return Err(fail("no program is named", call.head, ""));
    }
    let stdin = paths::bytes(input, call.head)?.map(|b| STANDARD.encode(b));
    let (out, err) = (stack.stdout().clone(), stack.stderr().clone());
    let merged = matches!((&out, &err), (OutDest::Pipe, OutDest::Pipe));
    let (out, err) = (sink(&out), sink(&err));
    let q = json!({"argv": argv, "env": env(es, stack), "cwd": paths::cwd(es, stack).to_string_lossy(), "stdin": stdin,
        "stdout": word(&out), "stderr": word(&err), "merge": merged});
    let r = host::call("exec", q).map_err(|r| r.at(call.head))?;
    let exit = r["exit"].as_i64().unwrap_or(-1);
    let (stdout, stderr) = (decode(&r["stdout"]), decode(&r["stderr"]));
    for (s, b) in [(&out, &stdout), (&err, &stderr)] {
        if let Sink::File(f) = s {
            let mut f: &std::fs::File = f;
            f.write_all(b).map_err(|e| fail(format!("write the output of {}: {e}", argv[0]), call.head, ""))?;
        }
    }
    if exit != 0 {
        let tail = if merged { &stdout } else { &decode(&r["tail"]) };
        return Err(failed(&argv, exit, tail, call.head));
    }
    Ok(match (out, stack.stdout()) {
        (Sink::Capture, OutDest::Value) => {
            let mut b = stdout;
            if b.ends_with(b"\n") {
                b.pop();
            }
            paths::value(b, call.head).into_pipeline_data()
        }
        (Sink::Capture, _) => {
            let s = ByteStream::read_binary(stdout, call.head, es.signals().clone()).with_type(ByteStreamType::Unknown);
            PipelineData::byte_stream(s, None)
        }
        // `e>|` pipes the error stream alone.
        _ => match err {
            Sink::Capture => paths::value(stderr, call.head).into_pipeline_data(),
            _ => PipelineData::empty(),
        },
    })
}

fn run_all(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    let list = match input.into_value(call.head)? {
        Value::List { vals, .. } => vals.to_vec(),
        other => return Err(fail(format!("`run-all` was given {}", a(&other.get_type())), call.head, "pipe in a list: [[clang -c a.c] [clang -c b.c]] | run-all")),
    };
    let base = env(es, stack);
    let cwd = paths::cwd(es, stack);
    let mut commands = vec![];
    let mut lines = vec![];
    for v in list {
        let span = v.span();
        let (argv, mut vars, mut dir, mut stdin) = (v.clone(), base.clone(), cwd.clone(), None);
        let argv = match argv {
            Value::Record { val, .. } => {
                if let Some(d) = val.get("cwd") {
                    dir = paths::one(es, stack, d)?;
                    vars.insert("PWD".into(), Json::String(dir.to_string_lossy().into_owned()));
                }
                if let Some(e) = val.get("env") {
                    for (k, x) in e.as_record()?.iter() {
                        vars.insert(k.clone(), Json::String(x.clone().coerce_into_string()?));
                    }
                }
                if let Some(i) = val.get("stdin") {
                    stdin = paths::bytes(i.clone().into_pipeline_data(), span)?.map(|b| STANDARD.encode(b));
                }
                match val.get("run") {
                    Some(r) => r.clone(),
                    None => return Err(fail("this command has no field `run`", span, "write {run: [program argument …]}")),
                }
            }
            other => other,
        };
        let argv = match argv {
            Value::List { vals, .. } => arguments(es, stack, vals.to_vec())?,
            other => return Err(fail(format!("{} is no command", a(&other.get_type())), span, "write a list: [program argument …]")),
        };
        if argv.is_empty() {
            return Err(fail("this command is empty", span, "write a list: [program argument …]"));
        }
        commands.push(json!({"argv": argv, "env": vars, "cwd": dir.to_string_lossy(), "stdin": stdin}));
        lines.push((argv, span));
    }
    let keep = call.has_flag(es, stack, "ignore-errors")?;
    let jobs: Option<i64> = call.get_flag(es, stack, "jobs")?;
    if commands.is_empty() {
        return Ok(Value::list(vec![], call.head).into_pipeline_data());
    }
    let r = host::call("exec_all", json!({"commands": commands, "keep": keep, "jobs": jobs.unwrap_or(0)})).map_err(|r| r.at(call.head))?;
    let results = r.as_array().cloned().unwrap_or_default();
    let mut out = vec![];
    let mut first: Option<ShellError> = None;
    for ((argv, span), one) in lines.iter().zip(&results) {
        let exit = one["exit"].as_i64().unwrap_or(-1);
        // Commands that were not started because another failed have no exit code.
        if exit != 0 && !keep && first.is_none() && !one["exit"].is_null() {
            let at = if *span == Span::unknown() { call.head } else { *span };
            first = Some(failed(argv, exit, &decode(&one["stderr"]), at));
        }
        out.push(Value::record(
            record! { "exit" => Value::int(exit, call.head), "stdout" => paths::value(decode(&one["stdout"]), call.head),
            "stderr" => paths::value(decode(&one["stderr"]), call.head) },
            call.head,
        ));
    }
    match first {
        Some(e) => Err(e),
        None => Ok(Value::list(out, call.head).into_pipeline_data()),
    }
}
