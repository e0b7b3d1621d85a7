//! Canonical NUON, the mirror of Go's pir/nuon, which checks again everything it receives.
use nu_protocol::{ShellError, Span, Value, shell_error::generic::GenericError};

/// Nushell's parser reads numbers with units through a float.
const MAX_UNIT: i64 = (1 << 53) - 1;
const MAX_DEPTH: usize = 100;
/// No description of a package is larger than this.
const MAX_SIZE: usize = 16 << 20;

pub fn canon(v: &Value) -> Result<String, ShellError> {
    let mut s = String::new();
    put(&mut s, v, 0)?;
    Ok(s)
}

/// Reads canonical NUON that the host wrote.
pub fn read(text: &str, span: Span) -> Result<Value, ShellError> {
    nuon::from_nuon(text, Some(span))
}

fn no(what: &str, help: &'static str, span: Span) -> ShellError {
    ShellError::Generic(GenericError::new(format!("{what} cannot be part of a package"), "here", span).with_help(help))
}

fn quote(o: &mut String, s: &str) {
    o.push('"');
    for c in s.chars() {
        if c == '"' || c == '\\' {
            o.push('\\');
        }
        o.push(c);
    }
    o.push('"');
}

fn put(o: &mut String, v: &Value, depth: usize) -> Result<(), ShellError> {
    let span = v.span();
    if depth > MAX_DEPTH {
        return Err(no("a value nested deeper than 100", "flatten it", span));
    }
    if o.len() > MAX_SIZE {
        return Err(no("a value larger than 16 MiB", "fetch large data as a source", span));
    }
    match v {
        Value::Nothing { .. } => o.push_str("null"),
        Value::Bool { val, .. } => o.push_str(if *val { "true" } else { "false" }),
        Value::Int { val, .. } => o.push_str(&val.to_string()),
        Value::Duration { val, .. } if val.unsigned_abs() <= MAX_UNIT as u64 => {
            o.push_str(&val.to_string());
            o.push_str("ns")
        }
        Value::Filesize { val, .. } if val.get().unsigned_abs() <= MAX_UNIT as u64 => {
            o.push_str(&val.get().to_string());
            o.push('b')
        }
        Value::Duration { .. } | Value::Filesize { .. } => {
            return Err(no("a number this large with a unit", "write it as a plain integer", span));
        }
        Value::Binary { val, .. } => {
            o.push_str("0x[");
            for b in val.iter() {
                o.push_str(&format!("{b:02X}"));
            }
            o.push(']')
        }
        Value::String { val, .. } | Value::Glob { val, .. } => quote(o, val),
        Value::List { vals, .. } => {
            o.push('[');
            for (i, x) in vals.iter().enumerate() {
                if i > 0 {
                    o.push(',');
                }
                put(o, x, depth + 1)?;
            }
            o.push(']');
        }
        Value::Record { val, .. } => {
            let mut kv: Vec<_> = val.iter().filter(|(_, x)| !x.is_nothing()).collect();
            kv.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            o.push('{');
            for (i, (k, x)) in kv.into_iter().enumerate() {
                if i > 0 {
                    o.push(',');
                }
                quote(o, k);
                o.push(':');
                put(o, x, depth + 1)?;
            }
            o.push('}');
        }
        Value::Float { .. } => return Err(no("a number with a decimal point", "quote it if it is a version, such as \"14.1\"", span)),
        Value::Date { .. } => return Err(no("a date", "quote it if it is a version, such as \"2024-01-01\"", span)),
        Value::Closure { .. } => return Err(no("a closure", "only `build` and what it captures may be closures", span)),
        Value::Error { error, .. } => return Err(*error.clone()),
        other => return Err(no(&crate::commands::a(&other.get_type()), "convert it to a string", span)),
    }
    Ok(())
}
