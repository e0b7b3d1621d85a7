//! What the bound commands say of themselves, and whether it is true here.
use crate::{args, check, commands, diag, engine};
use nu_protocol::{
    Span, Type, Value,
    engine::{EngineState, Stack, StateWorkingSet},
};
use serde::Serialize;

#[derive(Serialize)]
pub struct Described {
    name: String,
    own: bool,
    usage: String,
    about: String,
    more: String,
    category: String,
    flags: Vec<(String, String)>,
    examples: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    example: String,
    about: String,
    result: Option<String>,
}

fn decls(es: &EngineState) -> Vec<(String, nu_protocol::DeclId)> {
    let mut v: Vec<_> = es.get_decls_sorted(false).into_iter().map(|(n, id)| (String::from_utf8_lossy(&n).into_owned(), id)).collect();
    v.sort();
    v.retain(|(n, _)| n != commands::Thawed::NAME);
    v
}

/// Every bound command.
pub fn describe(es: &EngineState) -> Vec<Described> {
    decls(es)
        .into_iter()
        .map(|(name, id)| {
            let d = es.get_decl(id);
            let sig = d.signature();
            let result = |v: &Value| nuon::to_nuon(es, v, nuon::ToNuonConfig::default().span(Some(Span::unknown()))).ok();
            let named = sig.named.iter().filter(|f| f.long != "help").map(|f| (format!("--{}", f.long), f.desc.clone()));
            let positional = sig.required_positional.iter().chain(&sig.optional_positional).chain(&sig.rest_positional);
            Described {
                own: commands::own(d),
                usage: args::usage(&name, &sig),
                about: d.description().into(),
                more: d.extra_description().into(),
                category: sig.category.to_string(),
                flags: positional.map(|p| (p.name.clone(), p.desc.clone())).chain(named).collect(),
                examples: d
                    .examples()
                    .into_iter()
                    .map(|e| Shown { example: e.example.into(), about: e.description.into(), result: e.result.as_ref().and_then(result) })
                    .collect(),
                name,
            }
        })
        .collect()
}

#[derive(Serialize)]
pub struct Outcome {
    command: String,
    example: String,
    /// passed, ran (no result is promised), parsed (needs a build), skipped, failed
    status: &'static str,
    reason: String,
}

/// Runs the examples of every bound command.
pub fn run(base: &EngineState) -> Vec<Outcome> {
    let mut out = vec![];
    for (command, id) in decls(base) {
        let d = base.get_decl(id);
        for e in d.examples() {
            let (status, reason) = one(base, e.example, e.result.as_ref(), commands::own(d));
            out.push(Outcome { command: command.clone(), example: e.example.into(), status, reason });
        }
    }
    out
}

fn one(base: &EngineState, text: &str, want: Option<&Value>, own: bool) -> (&'static str, String) {
    let mut es = base.clone();
    let (block, delta) = {
        let mut ws = StateWorkingSet::new(&es);
        if own {
            ws.add_variable(b"b".to_vec(), Span::unknown(), Type::Any, false);
        }
        // `path self` asks for the file.
        let _ = ws.files.push("/example.nu".into(), Span::unknown());
        let block = nu_parser::parse_fresh(&mut ws, Some("example"), text.as_bytes(), false);
        ws.add_block(block.clone());
        if let Some(d) = check::errors(&ws).into_iter().next() {
            let absent = d.msg.starts_with("unknown command") || d.msg.ends_with("is not here");
            return (if absent && !own { "skipped" } else { "failed" }, d.msg);
        }
        (block, ws.render())
    };
    if own {
        return ("parsed", "runs in a build".into());
    }
    if let Err(e) = es.merge_delta(delta) {
        return ("failed", e.to_string());
    }
    let got = engine::eval(&es, &mut Stack::new().collect_value(), &block);
    if let Err(e) = &got
        && diag::of_shell(&StateWorkingSet::new(&es), e).msg.ends_with("runs only in a build closure")
    {
        return ("parsed", "runs in a build".into());
    }
    match (got, want) {
        (Ok(got), Some(want)) if got == *want => ("passed", String::new()),
        (Ok(got), Some(want)) => ("failed", format!("got {}, want {}", got.to_debug_string(), want.to_debug_string())),
        (Ok(_), None) => ("ran", String::new()),
        (Err(e), None) => ("ran", diag::of_shell(&StateWorkingSet::new(&es), &e).msg),
        (Err(e), Some(_)) => ("failed", diag::of_shell(&StateWorkingSet::new(&es), &e).msg),
    }
}
