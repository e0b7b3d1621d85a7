//! The arguments of a package as typed on a command line, read by the signature of its `main`.
use crate::{check, diag::Diag, memo::Args};
use nu_protocol::{CompareTypes, Flag, Signature, Span, SyntaxShape, Value};

/// Reads `words`; nothing in them is ever evaluated.
pub fn read(package: &str, sig: &Signature, words: &[String]) -> Result<Args, Diag> {
    let mut args = Args::default();
    let mut flags_end = false;
    let mut words = words.iter().peekable();
    let usage = usage(package, sig);
    let bad = |msg: String| Diag { msg, hint: format!("usage: {usage}"), ..Default::default() };
    while let Some(w) = words.next() {
        if w == "--" && !flags_end {
            flags_end = true;
            continue;
        }
        let Some(flag_text) = w.strip_prefix('-').filter(|r| !flags_end && !r.is_empty() && !is_number(w)) else {
            let n = args.positional.len();
            let shape = sig.get_positional(n).map(|p| p.shape.clone());
            let Some(shape) = shape else {
                return Err(bad(format!("{package} takes no argument {w:?}")));
            };
            args.positional.push(value(&shape, w).map_err(|e| bad(format!("argument {w:?}: {e}")))?);
            continue;
        };
        let (name, given) = match flag_text.split_once('=') {
            Some((n, v)) => (n, Some(v.to_string())),
            None => (flag_text, None),
        };
        let found = match name.strip_prefix('-') {
            Some(long) => sig.named.iter().find(|f| f.long == long && long != "help"),
            None => sig.named.iter().find(|f| f.short.map(|c| c.to_string()).as_deref() == Some(name) && f.long != "help"),
        };
        let Some(flag) = found else {
            let known = sig.named.iter().filter(|f| f.long != "help").map(|f| f.long.as_str());
            let near = check::near(name.trim_start_matches('-'), known).map(|n| format!("did you mean --{n}? ")).unwrap_or_default();
            return Err(Diag { msg: format!("{package} has no flag -{name}"), hint: format!("{near}usage: {usage}"), ..Default::default() });
        };
        let v = match (&flag.arg, given) {
            (None, None) => None,
            (None, Some(v)) if v == "true" => None,
            (None, Some(v)) if v == "false" => continue,
            (None, Some(v)) => return Err(bad(format!("--{} takes no value, but was given {v:?}", flag.long))),
            (Some(shape), given) => {
                let Some(text) = given.or_else(|| words.next().cloned()) else {
                    return Err(bad(format!("--{} needs a value", flag.long)));
                };
                Some(value(shape, &text).map_err(|e| bad(format!("--{} {text:?}: {e}", flag.long)))?)
            }
        };
        args.named.retain(|(n, _)| *n != flag.long);
        args.named.push((flag.long.clone(), v));
    }
    if let Some(p) = sig.required_positional.get(args.positional.len()) {
        return Err(bad(format!("{package} needs the argument <{}>", p.name)));
    }
    // In the order of the signature, so that the order on the command line makes no difference.
    let order = |n: &str| sig.named.iter().position(|f: &Flag| f.long == n);
    args.named.sort_by_key(|(n, _)| order(n));
    Ok(args)
}

fn is_number(w: &str) -> bool {
    w.parse::<f64>().is_ok()
}

fn value(shape: &SyntaxShape, text: &str) -> Result<Value, String> {
    let span = Span::unknown();
    Ok(match shape {
        SyntaxShape::String | SyntaxShape::Any | SyntaxShape::Filepath | SyntaxShape::Directory | SyntaxShape::GlobPattern => Value::string(text, span),
        SyntaxShape::Int => Value::int(text.parse().map_err(|_| "want a whole number".to_string())?, span),
        SyntaxShape::Boolean => Value::bool(text.parse().map_err(|_| "want true or false".to_string())?, span),
        SyntaxShape::OneOf(shapes) => return shapes.iter().find_map(|s| value(s, text).ok()).ok_or_else(|| format!("want {shape}")),
        other => {
            let v = nuon::from_nuon(text, Some(span)).map_err(|_| format!("want {other}"))?;
            if !v.is_subtype_of(&other.to_type()) {
                return Err(format!("want {other}, not {}", v.get_type()));
            }
            v
        }
    })
}

/// One line that shows how a command is called.
pub fn usage(name: &str, sig: &Signature) -> String {
    let mut s = name.to_string();
    for p in &sig.required_positional {
        s += &format!(" <{}>", p.name);
    }
    for p in &sig.optional_positional {
        s += &format!(" [{}]", p.name);
    }
    if let Some(p) = &sig.rest_positional {
        s += &format!(" ...[{}]", p.name);
    }
    for f in sig.named.iter().filter(|f| f.long != "help") {
        let short = f.short.map(|c| format!("-{c}|")).unwrap_or_default();
        match &f.arg {
            Some(shape) => s += &format!(" [{short}--{} <{shape}>]", f.long),
            None => s += &format!(" [{short}--{}]", f.long),
        }
    }
    s
}
