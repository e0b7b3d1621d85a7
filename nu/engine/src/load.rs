//! Loads package files as modules. The host says which file a `use` means and gives its text, so evaluation needs no
//! file system; every file is parsed once, under its one canonical path, however many others use it.
use crate::{
    check,
    diag::{self, Diag},
    host,
    memo::Package,
};
use nu_parser::{LiteBlock, LiteCommand};
use nu_protocol::{
    BlockId, Module, ModuleId, ParseError, Span, Type, Value,
    ast::{Argument, Expr, Expression},
    engine::{EngineState, StateWorkingSet, Visibility},
};
use serde_json::json;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

/// The constant of every package module that says which file it is; values never keep it when they are frozen.
pub const MODULE_KEY: &str = "__module";

/// Where a command is written: what stands after its name, up to the end of its body.
#[derive(Clone)]
pub struct DefText {
    pub text: Span,
    pub flags: Vec<String>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<String, ModuleId>,
    defs: HashMap<usize, DefText>,
    names: HashMap<usize, String>,
}

thread_local! {
    static LOADED: RefCell<Loaded> = RefCell::default();
}

/// The module that was loaded from `path`.
pub fn module(path: &str) -> Option<ModuleId> {
    LOADED.with(|l| l.borrow().modules.get(path).copied())
}

/// The text of the command whose body is `block`.
pub fn def_text(block: BlockId) -> Option<DefText> {
    LOADED.with(|l| l.borrow().defs.get(&block.get()).cloned())
}

/// The name of variable `id`, as its uses show it.
pub fn used_name(id: usize) -> Option<String> {
    LOADED.with(|l| l.borrow().names.get(&id).cloned())
}

/// Forgets everything, for a new evaluation in the same instance.
pub fn reset() {
    LOADED.with(|l| *l.borrow_mut() = Loaded::default());
}

/// A file that is being loaded.
struct Loading {
    path: String,
    source: String,
    /// Its name for people.
    shown: String,
    /// What the file that uses it calls it, and where.
    name: String,
    at: Place,
    /// The modules that it uses and that are loaded, by the names that it has for them.
    uses: BTreeMap<String, ModuleId>,
    /// Those that it is still to be parsed with, the first one last.
    wanted: Vec<(String, Place)>,
}

/// A part of a file's text: where it begins, and how long it is.
type Place = (usize, usize);

/// Loads files, and those that they use, into an engine. The files that wait for others are a list, so chains may be of any length.
pub struct Load<'a> {
    pub es: &'a mut EngineState,
    stack: Vec<Loading>,
}

enum Found {
    Known(String, ModuleId),
    New(Box<Loading>),
}

impl<'a> Load<'a> {
    pub fn new(es: &'a mut EngineState) -> Self {
        Load { es, stack: vec![] }
    }

    /// Loads the file that the host knows as `file`.
    pub fn file(&mut self, file: &str) -> Result<(String, ModuleId), Vec<Diag>> {
        match self.find("", file, (0, 0))? {
            Found::Known(path, id) => return Ok((path, id)),
            Found::New(loading) => self.stack.push(*loading),
        }
        loop {
            let top = self.stack.last_mut().expect("a file is being loaded");
            let Some((name, at)) = top.wanted.pop() else {
                let top = self.stack.pop().expect("a file is being loaded");
                match self.parse(top).map_err(|(at, errs)| self.placed(at, errs))? {
                    Parsed::Lacks(loading) => self.stack.push(*loading),
                    Parsed::All(path, name, id) => match self.stack.last_mut() {
                        None => return Ok((path, id)),
                        Some(user) => drop(user.uses.insert(name, id)),
                    },
                }
                continue;
            };
            if top.uses.contains_key(&name) {
                continue;
            }
            let from = top.path.clone();
            match self.find(&from, &name, at).map_err(|errs| self.placed(at, errs))? {
                Found::Known(_, id) => drop(self.stack.last_mut().map(|user| user.uses.insert(name, id))),
                Found::New(loading) => self.stack.push(*loading),
            }
        }
    }

    /// Gives errors that have no position that of the `use` in the file which is loaded now.
    fn placed(&self, at: Place, errs: Vec<Diag>) -> Vec<Diag> {
        let Some(user) = self.stack.last() else { return errs };
        let mut ws = StateWorkingSet::new(self.es);
        let file = ws.add_file(&user.path, user.source.as_bytes());
        let start = ws.get_span_for_file(file).start + at.0;
        let place = diag::at(&ws, Span::new(start, start + at.1), "", "", "");
        errs.into_iter().map(|e| if e.file.is_empty() { Diag { msg: e.msg, hint: e.hint, ..place.clone() } } else { e }).collect()
    }

    /// The file that `name` means in the file `from`. An error without a position is about the `use` itself.
    fn find(&self, from: &str, name: &str, at: Place) -> Result<Found, Vec<Diag>> {
        let bare = |msg: String, hint: String| vec![Diag { msg, hint, ..Default::default() }];
        let found = host::call("load", json!({"from": from, "name": name})).map_err(|r| bare(r.msg, r.help.unwrap_or_default()))?;
        let text = |k: &str| found[k].as_str().unwrap_or_default().to_string();
        let (path, source, shown) = (text("path"), text("text"), text("shown"));
        if let Some(id) = module(&path) {
            return Ok(Found::Known(path, id));
        }
        if let Some(i) = self.stack.iter().position(|l| l.path == path) {
            let mut ring: Vec<&str> = self.stack[i..].iter().map(|l| l.shown.as_str()).collect();
            ring.push(&shown);
            return Err(bare(format!("packages use each other in a circle: {}", ring.join(" → ")), "move what both need into a third file".into()));
        }
        let mut wanted = if check::too_deep(source.as_bytes()).is_none() && mentions_use(source.as_bytes()) { used(self.es, &source) } else { vec![] };
        wanted.reverse();
        Ok(Found::New(Box::new(Loading { path, source, shown, name: name.to_string(), at, uses: BTreeMap::new(), wanted })))
    }

    /// Parses a file with the modules it uses. The parser says which it misses, by the name their text evaluates to.
    /// An error comes with the place of the `use` that the file was loaded for.
    fn parse(&mut self, mut file: Loading) -> Result<Parsed, (Place, Vec<Diag>)> {
        let mut ws = StateWorkingSet::new(self.es);
        let id = parse_file(&mut ws, &file.path, &file.source, &file.uses).map_err(|d| (file.at, vec![d]))?;
        let start = ws.get_span_for_filename(&file.path).map_or(0, |s| s.start);
        let missing = ws.parse_errors.iter().filter_map(|e| match e {
            ParseError::ModuleNotFound(s, n) if !file.uses.contains_key(n) => Some((n.clone(), (s.start.saturating_sub(start), s.end - s.start))),
            _ => None,
        });
        file.wanted = missing.collect();
        if !file.wanted.is_empty() {
            file.wanted.reverse();
            return Ok(Parsed::Lacks(Box::new(file)));
        }
        let errors = check::errors(&ws);
        if !errors.is_empty() {
            return Err((file.at, errors));
        }
        note(&ws);
        let delta = ws.render();
        self.es.merge_delta(delta).map_err(|e| (file.at, vec![Diag { msg: e.to_string(), ..Default::default() }]))?;
        LOADED.with(|l| l.borrow_mut().modules.insert(file.path.clone(), id));
        Ok(Parsed::All(file.path, file.name, id))
    }
}

enum Parsed {
    /// Modules are missing.
    Lacks(Box<Loading>),
    /// The path, what the file that uses it calls it, and its module.
    All(String, String, ModuleId),
}

/// Whether a text can use a module at all.
fn mentions_use(text: &[u8]) -> bool {
    text.windows(3).any(|w| w == b"use")
}

/// The modules that a text uses at its top by plain names, in order. So they are there when the text is parsed first.
fn used(es: &EngineState, source: &str) -> Vec<(String, Place)> {
    let mut ws = StateWorkingSet::new(es);
    let file = ws.add_file("", source.as_bytes());
    let span = ws.get_span_for_file(file);
    let name = |command: &LiteCommand| {
        let words: Vec<&[u8]> = command.parts.iter().take(3).map(|s| ws.get_span_contents(*s)).collect();
        let i = match words[..] {
            [b"use", _, ..] => 1,
            [b"export", b"use", _] => 2,
            _ => return None,
        };
        let name = nu_parser::trim_quotes(words[i]);
        let plain = name.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'.' | b'-' | b'_'));
        let at = command.parts[i];
        (plain && !name.is_empty()).then(|| (String::from_utf8_lossy(name).into_owned(), (at.start - span.start, at.end - at.start)))
    };
    let (block, _) = commands(&ws, span);
    block.block.iter().filter_map(|p| if let [command] = &p.commands[..] { name(command) } else { None }).collect()
}

/// The commands at the top of a file, and whether its text can be read as commands at all.
fn commands(ws: &StateWorkingSet, span: Span) -> (LiteBlock, bool) {
    let (tokens, wrong) = nu_parser::lex(ws.get_span_contents(span), span.start, &[], &[], false);
    let (block, bad) = nu_parser::lite_parse(&tokens, ws);
    (block, wrong.is_none() && bad.is_none())
}

/// Notes where the commands of the working set are written and what its variables are called.
pub fn note(ws: &StateWorkingSet) {
    LOADED.with(|l| {
        let mut l = l.borrow_mut();
        for block in &ws.delta.blocks {
            for e in block.pipelines.iter().flat_map(|p| &p.elements).map(|e| &e.expr) {
                if let Some((id, def)) = def_of(ws, e) {
                    l.defs.insert(id.get(), def);
                }
            }
            for (i, span) in block.ir_block.iter().flat_map(|ir| ir.instructions.iter().zip(&ir.spans)) {
                if let nu_protocol::ir::Instruction::LoadVariable { var_id, .. } = i
                    && let Some(name) = variable_text(ws.get_span_contents(*span))
                {
                    l.names.insert(var_id.get(), name);
                }
            }
        }
    });
}

/// The name of the variable that a text begins with.
pub fn variable_text(text: &[u8]) -> Option<String> {
    let s = std::str::from_utf8(text).ok()?.strip_prefix('$')?;
    let name: String = s.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect();
    (!name.is_empty()).then_some(name)
}

fn def_of(ws: &StateWorkingSet, e: &Expression) -> Option<(BlockId, DefText)> {
    let call = match &e.expr {
        Expr::Call(call) => call,
        Expr::AttributeBlock(a) => return def_of(ws, &a.item),
        _ => return None,
    };
    if !matches!(ws.get_decl(call.decl_id).name(), "def" | "export def") {
        return None;
    }
    let mut args = call.positional_iter().skip(1);
    let (sig, body) = (args.next()?, args.next()?);
    let id = match &body.expr {
        Expr::Closure(id) | Expr::Block(id) => *id,
        _ => return None,
    };
    let flags = call.arguments.iter().filter_map(|a| match a {
        Argument::Named((name, _, _)) => Some(name.item.clone()),
        _ => None,
    });
    Some((id, DefText { text: Span::new(sig.span.start, body.span.end), flags: flags.collect() }))
}

fn parse_file(ws: &mut StateWorkingSet, path: &str, source: &str, uses: &BTreeMap<String, ModuleId>) -> Result<ModuleId, Diag> {
    let file = ws.add_file(path, source.as_bytes());
    let span = ws.get_span_for_file(file);
    if let Some(off) = check::too_deep(source.as_bytes()) {
        let s = Span::new(span.start + off, span.start + off + 1);
        return Err(diag::at(ws, s, "brackets are nested too deep", "this one is the 201st", "split the value into several `let`"));
    }
    let name = module_name(path);
    // A frame of its own keeps the names given to modules here out of every other file.
    ws.enter_scope();
    ws.use_modules(uses.iter().map(|(n, id)| (n.clone().into_bytes(), *id)).collect());
    if let Err(e) = ws.files.push(PathBuf::from(path), Span::unknown()) {
        return Err(diag::of(ws, &e));
    }
    let mut imported = Module::from_span(vec![], span);
    let body = Span::new(uses_first(ws, span, &mut imported), span.end);
    let (block, mut module, comments) = nu_parser::parse_module_block(ws, body, name.as_bytes());
    module.track_imported_modules(&imported.imported_modules);
    ws.add_block(Arc::new(block));
    if let Some(main) = module.main {
        let mut signature = ws.get_signature(ws.get_decl(main));
        signature.name = name.clone();
        module.main = Some(ws.add_decl(Box::new(Package { path: path.to_string(), main, signature })));
        let var = ws.add_variable_without_scope(Span::new(span.start, span.start), Type::String, false);
        ws.set_variable_const_val(var, Value::string(path, span));
        module.add_variable(MODULE_KEY.as_bytes().to_vec(), var);
    }
    module.span = Some(span);
    let id = ws.add_module(&name, module, comments);
    // Parsing an empty text makes the parser work out the captures of all new blocks.
    nu_parser::parse_fresh(ws, Some("nuka"), b"", false);
    ws.files.pop();
    ws.exit_scope();
    Ok(id)
}

/// Parses the `use` lines that a file begins with, and returns where they end.
/// The parser notes each name that `use` brings as visible, and copies its notes for every name it looks up: a file that uses a thousand
/// others would take seconds. Names are visible unless `hide` hid them, which is not here, so the notes are dropped.
fn uses_first(ws: &mut StateWorkingSet, span: Span, imported: &mut Module) -> usize {
    let mut end = span.start;
    if !mentions_use(ws.get_span_contents(span)) {
        return end;
    }
    let (block, whole) = commands(ws, span);
    for pipeline in block.block.iter().take_while(|_| whole) {
        let [command] = &pipeline.commands[..] else { break };
        let (Some(first), Some(last)) = (command.parts.first(), command.parts.last()) else { break };
        if ws.get_span_contents(*first) != b"use" || command.has_attributes() || command.redirection.is_some() {
            break;
        }
        nu_parser::parse_use(ws, command, Some(imported));
        ws.last_overlay_mut().visibility = Visibility::new();
        // A comment behind it is not one of the command below.
        let rest = ws.get_span_contents(Span::new(last.end, span.end));
        let line = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        end = last.end + if rest[..line].trim_ascii_start().starts_with(b"#") { line } else { 0 };
    }
    end
}

/// The name under which `use` brings a file in: its stem, or its folder's name for mod.nu.
pub fn module_name(path: &str) -> String {
    let p = std::path::Path::new(path);
    let named = if p.file_name().is_some_and(|n| n == "mod.nu") { p.parent().and_then(|d| d.file_name()) } else { p.file_stem() };
    named.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}
