//! Paths of build closures: relative to $env.PWD, with globs expanded.
use super::{a, fail};
use nu_engine::command_prelude::*;
use std::path::{Component, Path, PathBuf};

/// The directory that relative paths start from.
pub fn cwd(es: &EngineState, stack: &Stack) -> PathBuf {
    stack.get_env_var(es, "PWD").and_then(|v| v.as_str().ok()).map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// `path` without `.` and `..`, as written: links are not followed.
pub fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for c in path.components() {
        match c {
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(n) => out.push(n),
            _ => {}
        }
    }
    out
}

/// The absolute path that `p` means.
pub fn abs(es: &EngineState, stack: &Stack, p: &str) -> PathBuf {
    // Links are resolved by the file system, so `..` stays as it is, but for a leading one.
    let joined = cwd(es, stack).join(p);
    if p.contains("..") && !joined.exists() { clean(&joined) } else { joined }
}

/// One path argument.
pub fn one(es: &EngineState, stack: &Stack, v: &Value) -> Result<PathBuf, ShellError> {
    match v {
        Value::String { val, .. } | Value::Glob { val, .. } => Ok(abs(es, stack, val)),
        other => Err(fail(format!("{} is no path", a(&other.get_type())), other.span(), "give a string")),
    }
}

/// All paths that the arguments mean; an unquoted pattern that matches nothing is an error unless `quiet`.
pub fn many(es: &EngineState, stack: &Stack, args: &[Value], quiet: bool) -> Result<Vec<(PathBuf, Span)>, ShellError> {
    let mut out = vec![];
    for v in args {
        match v {
            Value::List { vals, .. } => out.extend(many(es, stack, vals, quiet)?),
            Value::Glob { val, no_expand: false, internal_span, .. } if val.contains(['*', '?', '[']) => {
                let found = matches(&cwd(es, stack), val, *internal_span)?;
                if found.is_empty() && !quiet {
                    return Err(fail(format!("{val} matches no file"), *internal_span, "quote it if it is a name"));
                }
                out.extend(found.into_iter().map(|p| (p, *internal_span)));
            }
            v => out.push((one(es, stack, v)?, v.span())),
        }
    }
    Ok(out)
}

/// The paths below `dir` that match `pattern`, sorted by bytes. `{a,b}` gives alternatives.
pub fn matches(dir: &Path, pattern: &str, span: Span) -> Result<Vec<PathBuf>, ShellError> {
    let mut out = vec![];
    for p in braces(pattern) {
        let full = if p.starts_with('/') { p } else { format!("{}/{p}", nu_glob::Pattern::escape(&dir.to_string_lossy())) };
        let opts = nu_glob::MatchOptions { case_sensitive: true, require_literal_separator: true, ..Default::default() };
        let found = nu_glob::glob_with(&full, opts, nu_glob::Uninterruptible).map_err(|e| fail(format!("pattern {pattern}: {e}"), span, ""))?;
        out.extend(found.filter_map(Result::ok));
    }
    out.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    out.dedup();
    Ok(out)
}

/// What a pattern of `--exclude` leaves out, each with all below it. A pattern that ends in `/**` leaves out the folders before it.
pub fn excluded(root: &Path, pattern: &str, span: Span) -> Result<Vec<PathBuf>, ShellError> {
    let mut out = vec![];
    for p in braces(pattern) {
        match p.trim_end_matches("/**") {
            folder if folder == p && p != "**" => out.extend(matches(root, &p, span)?),
            "" | "**" => out.push(if p.starts_with('/') { PathBuf::from("/") } else { root.to_path_buf() }),
            folder => out.extend(matches(root, folder, span)?.into_iter().filter(|f| f.is_dir())),
        }
    }
    Ok(out)
}

/// The folders that a pattern begins with, up to the first name with a wildcard, or to the last name.
pub fn literal(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    pattern[..end].rfind('/').map_or("", |i| &pattern[..=i])
}

fn braces(p: &str) -> Vec<String> {
    let Some(open) = p.find('{') else { return vec![p.to_string()] };
    let Some(close) = p[open..].find('}').map(|i| open + i) else { return vec![p.to_string()] };
    p[open + 1..close].split(',').flat_map(|alt| braces(&format!("{}{alt}{}", &p[..open], &p[close + 1..]))).collect()
}

/// An error of the file system.
pub fn io(e: std::io::Error, what: &str, path: &Path, span: Span) -> ShellError {
    let why = match e.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".to_string(),
        std::io::ErrorKind::AlreadyExists => "it exists already".to_string(),
        std::io::ErrorKind::PermissionDenied => "not permitted".to_string(),
        std::io::ErrorKind::ReadOnlyFilesystem => "it is read-only; write to $b.out or the build folder".to_string(),
        _ => e.to_string(),
    };
    fail(format!("{what} {}: {why}", path.display()), span, "")
}

/// The bytes of a pipeline.
pub fn bytes(input: PipelineData, head: Span) -> Result<Option<Vec<u8>>, ShellError> {
    Ok(Some(match input {
        PipelineData::Empty => return Ok(None),
        PipelineData::ByteStream(s, _) => s.into_bytes()?,
        p => match p.into_value(head)? {
            Value::Nothing { .. } => return Ok(None),
            Value::Binary { val, .. } => val.to_vec(),
            Value::List { vals, .. } => {
                let mut out = vec![];
                for v in vals {
                    out.extend(text(v)?.into_bytes());
                    out.push(b'\n');
                }
                out
            }
            v => text(v)?.into_bytes(),
        },
    }))
}

fn text(v: Value) -> Result<String, ShellError> {
    let (span, ty) = (v.span(), v.get_type());
    v.coerce_into_string().map_err(|_| fail(format!("{} is no text", a(&ty)), span, "convert it first, for example with `to json`"))
}

/// Bytes as a value: text where they are UTF-8.
pub fn value(b: Vec<u8>, span: Span) -> Value {
    match String::from_utf8(b) {
        Ok(s) => Value::string(s, span),
        Err(e) => Value::binary(e.into_bytes(), span),
    }
}
