//! Closures as data.
//!
//! A frozen closure is a record {nu, captures?, defs?}: its source text as it stands in the file, the values of the
//! variables it captures, and the commands it calls that are defined outside it, each {name, own?, flags?, nu, captures?, defs?}.
use crate::{
    check,
    complete::Known,
    diag,
    load::{self, MODULE_KEY},
    memo::Package,
    thaw::{self, is_frozen},
};
use nu_protocol::{
    BlockId, DeclId, Record, ShellError, Span, Value, VarId,
    engine::{Closure, EngineState, StateWorkingSet},
    ir::{Instruction, Literal},
    shell_error::generic::GenericError,
};
use std::{any::Any, cell::Cell, collections::BTreeMap};

const HINT: &str = "a build closure is stored as text with the values and commands it uses";
thread_local! {
    /// Whether closures that are known to stand are parsed on their own too.
    static DOUBT: Cell<bool> = const { Cell::new(false) };
    /// How many were not known to stand.
    static UNKNOWN: Cell<usize> = const { Cell::new(0) };
}

/// Begins an evaluation that parses every closure on its own, or only those that are not known to stand.
pub fn begin(doubt: bool) {
    DOUBT.set(doubt);
    UNKNOWN.set(0);
}

/// How many closures of the evaluation were not known to stand.
pub fn unknown() -> usize {
    UNKNOWN.get()
}

/// More text than this in one closure means helpers that include each other again and again.
const MAX_TEXT: usize = 1 << 20;

fn err(msg: impl Into<String>, label: &'static str, span: Span, help: impl Into<String>) -> ShellError {
    ShellError::Generic(GenericError::new(msg.into(), label, span).with_help(help.into()))
}

/// `v` without closures and without the marks of modules.
pub fn value(es: &EngineState, v: &Value) -> Result<Value, ShellError> {
    let span = v.span();
    Ok(match v {
        Value::Closure { val, .. } => closure(es, val, span)?,
        Value::List { vals, .. } => Value::list(vals.iter().map(|x| value(es, x)).collect::<Result<_, _>>()?, span),
        Value::Record { val, .. } => {
            if is_frozen(val) {
                return Err(err("a record with the field `nu` looks like a stored closure", "rename the field", span, HINT));
            }
            let mut r = Record::new();
            for (k, x) in val.iter().filter(|(k, _)| *k != MODULE_KEY) {
                r.push(k.clone(), value(es, x)?);
            }
            Value::record(r, span)
        }
        Value::Custom { .. } => return Err(err("custom values cannot be part of a package", "here", span, "convert it to a record")),
        Value::Error { error, .. } => return Err(*error.clone()),
        other => other.clone(),
    })
}

/// The frozen form of a closure. What is stored is known to be complete: the first parse shows it, or it is parsed once more on its own.
pub fn closure(es: &EngineState, c: &Closure, span: Span) -> Result<Value, ShellError> {
    Ok(closure_at(es, c, span)?.0)
}

/// `closure`, and where each of its texts stands in the package files: its own has the name "", that of a command it calls
/// " > name", as thaw.rs names them.
pub fn closure_at(es: &EngineState, c: &Closure, span: Span) -> Result<(Value, Vec<(String, Span)>), ShellError> {
    let block = es.get_block(c.block_id);
    let text = block.span.ok_or_else(|| err("this closure has no text", "here", span, HINT))?;
    let mut caps = BTreeMap::new();
    let mut seen: Vec<VarId> = vec![];
    for (id, v) in &c.captures {
        if seen.contains(id) {
            continue;
        }
        seen.push(*id);
        capture(es, *id, v, span, &mut caps)?;
    }
    let mut f = Freezer { es, path: vec![], size: 0, texts: vec![], known: Known::new() };
    f.known.closure(diag::text_at(es, text), seen);
    let mut r = f.code(c.block_id, text, text)?;
    put_captures(&mut r, caps, span);
    let frozen = Value::record(r, span);
    verify(es, &frozen, text, f.known.stands(es))?;
    Ok((frozen, f.texts))
}

fn put_captures(r: &mut Record, caps: BTreeMap<String, Value>, span: Span) {
    if !caps.is_empty() {
        r.insert("captures", Value::record(caps.into_iter().collect(), span));
    }
}

fn capture(es: &EngineState, id: VarId, v: &Value, span: Span, caps: &mut BTreeMap<String, Value>) -> Result<(), ShellError> {
    let name = name_of(es, id);
    if matches!(name.as_str(), "env" | "nu" | "in" | "ans") {
        return Ok(());
    }
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        return Err(err("a captured variable has no name", "captured by this closure", span, "bind it with `let` first"));
    }
    match caps.get(&name) {
        Some(_) => Err(err(format!("two captured variables are called `{name}`"), "captured by this closure", span, "rename one")),
        None => {
            caps.insert(name, value(es, v)?);
            Ok(())
        }
    }
}

/// Variables are named where they are declared. `use x.nu` declares `$x` without writing it, so there the uses tell.
fn name_of(es: &EngineState, id: VarId) -> String {
    let var = es.get_var(id);
    let clean = |b: &[u8]| String::from_utf8_lossy(b).trim_start_matches('$').to_string();
    if let Some(n) = &var.name {
        return clean(n);
    }
    let declared = clean(diag::text_at(es, var.declaration_span));
    if !declared.is_empty() && !matches!(declared.as_str(), "use" | "export") {
        return declared;
    }
    load::used_name(id.get()).unwrap_or_default()
}

struct Freezer<'a> {
    es: &'a EngineState,
    path: Vec<(DeclId, String)>,
    size: usize,
    texts: Vec<(String, Span)>,
    known: Known,
}

impl Freezer<'_> {
    /// The record {nu, defs?} of the code in `block`, whose stored text is `text`.
    fn code(&mut self, block: BlockId, text: Span, own: Span) -> Result<Record, ShellError> {
        let nu = String::from_utf8_lossy(diag::text_at(self.es, text)).into_owned();
        self.size += nu.len();
        if self.size > MAX_TEXT {
            return Err(err("this closure and the commands it uses are more than 1 MiB of text", "here", own, "call fewer helpers"));
        }
        self.texts.push((self.path.iter().map(|(_, n)| format!(" > {n}")).collect(), text));
        let mut used = BTreeMap::new();
        self.outside(block, own, &mut vec![], &mut used)?;
        let mut defs = vec![];
        for (name, (decl, head)) in used {
            if self.path.last().is_some_and(|(d, n)| *d == decl && *n == name) {
                continue; // it calls itself
            }
            self.known.calls(&name, decl);
            defs.push(self.def(&name, decl, head)?);
        }
        let mut r = Record::new();
        r.push("nu", Value::string(nu, own));
        if !defs.is_empty() {
            r.push("defs", Value::list(defs, own));
        }
        Ok(r)
    }

    /// The commands called in `block` and the closures inside it that are defined outside `own`, by the name they are called by.
    fn outside(&mut self, block: BlockId, own: Span, seen: &mut Vec<BlockId>, used: &mut BTreeMap<String, (DeclId, Span)>) -> Result<(), ShellError> {
        if seen.contains(&block) {
            return Ok(());
        }
        seen.push(block);
        let es = self.es;
        let b = es.get_block(block);
        self.known.block(es, b, own, seen.len() == 1, |id| name_of(es, id));
        for (id, head) in check::calls(b) {
            let decl = es.get_decl(id);
            if (decl as &dyn Any).is::<Package>() {
                return Err(err(
                    format!("`{}` is a package, not a command of the build", decl.name()),
                    "evaluated inside a build closure",
                    head,
                    "list it in `packages` and use $b.packages",
                ));
            }
            let Some(body) = decl.block_id() else { continue };
            let inner = es.get_block(body).span;
            if inner.is_some_and(|s| own.contains_span(s)) {
                self.outside(body, own, seen, used)?;
                continue;
            }
            let text = diag::text_at(es, head);
            let name = String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" ");
            let name = name.strip_prefix('%').unwrap_or(&name).to_string();
            if let Some((other, _)) = used.insert(name.clone(), (id, head))
                && other != id
            {
                return Err(err(format!("two commands are called `{name}` here"), "this is the second", head, "rename one"));
            }
        }
        for i in b.ir_block.iter().flat_map(|ir| &ir.instructions) {
            if let Instruction::LoadLiteral { lit: Literal::Closure(id) | Literal::Block(id) | Literal::RowCondition(id), .. } = i {
                self.outside(*id, own, seen, used)?;
            }
        }
        Ok(())
    }

    fn def(&mut self, name: &str, decl: DeclId, head: Span) -> Result<Value, ShellError> {
        let fail = |why: &str| err(format!("`{name}` cannot be stored with the closure: {why}"), "called here", head, HINT);
        let body = self.es.get_decl(decl).block_id().ok_or_else(|| fail("it has no body"))?;
        let def = load::def_text(body).ok_or_else(|| fail("its text is not known"))?;
        if let Some(flag) = def.flags.iter().find(|f| !matches!(f.as_str(), "env" | "wrapped")) {
            return Err(fail(&format!("--{flag}")));
        }
        if self.path.iter().any(|(d, _)| *d == decl) {
            return Err(fail("commands that call each other in a circle are not supported"));
        }
        let begins = self.es.get_block(body).span.and_then(|b| b.start.checked_sub(def.text.start));
        let captures = self.es.get_block(body).captures.iter().map(|(id, _)| *id).collect();
        self.known.command(diag::text_at(self.es, def.text), begins, captures);
        self.path.push((decl, name.to_string()));
        let code = self.code(body, def.text, def.text);
        self.path.pop();
        let mut r = code?;
        r.insert("name", Value::string(name, head));
        // What it calls itself, where that is not what the caller calls it: `c count` is `count` in its own text.
        let own = self.es.get_decl(decl).name();
        if own != name {
            r.insert("own", Value::string(own, head));
        }
        if !def.flags.is_empty() {
            r.insert("flags", Value::list(def.flags.iter().map(|f| Value::string(f.clone(), head)).collect(), head));
        }
        let mut caps = BTreeMap::new();
        for (id, _) in &self.es.get_block(body).captures {
            match &self.es.get_var(*id).const_val {
                Some(v) => capture(self.es, *id, v, head, &mut caps)?,
                None if matches!(name_of(self.es, *id).as_str(), "env" | "nu" | "in" | "ans") => {}
                None => return Err(fail(&format!("it uses ${}, which is no constant", name_of(self.es, *id)))),
            }
        }
        put_captures(&mut r, caps, head);
        Ok(Value::record(r, head))
    }
}

/// Parses the frozen closure as a build would, unless it is known to stand. Errors are shown where the text stands in the package file.
fn verify(es: &EngineState, frozen: &Value, text: Span, stands: bool) -> Result<(), ShellError> {
    if !stands {
        UNKNOWN.set(UNKNOWN.get() + 1);
    } else if !DOUBT.get() {
        return Ok(());
    }
    let mut ws = StateWorkingSet::new(es);
    let mut d = match thaw::closure(&mut ws, frozen, "closure") {
        Ok(_) => return Ok(()),
        Err(d) => d.into_iter().next().unwrap_or_default(),
    };
    if stands {
        d.msg = format!("it was known to stand, but: {}", d.msg);
    }
    let src = diag::text_at(es, text);
    let line: usize = src.split_inclusive(|b| *b == b'\n').take(d.line.saturating_sub(1)).map(<[u8]>::len).sum();
    let col: usize = String::from_utf8_lossy(&src[line.min(src.len())..]).chars().take(d.col.saturating_sub(1)).map(char::len_utf8).sum();
    let at = (text.start + line + col).min(text.end);
    let span = if d.file == "closure" { Span::new(at, (at + d.len).min(text.end)) } else { text };
    let help = match d.hint.as_str() {
        _ if d.msg.starts_with("module ") => "write `use` at the top of the file; the commands it brings can be called in the closure".into(),
        "" => HINT.to_string(),
        hint => format!("{hint}; {HINT}"),
    };
    Err(err(format!("this closure does not stand on its own: {}", d.msg), "cannot be stored", span, help))
}
