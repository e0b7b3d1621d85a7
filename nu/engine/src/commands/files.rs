//! File commands of build closures, over the file system the host gives. Names and signatures follow Nushell's own,
//! without what needs a terminal, a clock or an owner. Results are sorted, so a build does not depend on directory order.
use super::{Spec, fail, paths};
use crate::{host, memo};
use nu_engine::command_prelude::*;
use serde_json::json;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

const PATH: SyntaxShape = SyntaxShape::GlobPattern;

fn globs() -> SyntaxShape {
    SyntaxShape::OneOf(vec![PATH, SyntaxShape::String, SyntaxShape::List(Box::new(SyntaxShape::Any))])
}
fn none(s: Signature) -> Signature {
    s.input_output_types(vec![(Type::Nothing, Type::Nothing)])
}

pub const TABLE: &[Spec] = &[
    Spec {
        name: "cd", about: "Change to a folder.", more: "", eval: false, run: cd,
        sign: |s| none(s).required("path", SyntaxShape::Directory, "The folder."),
        examples: &[("cd $b.src", "Work in the source tree.")],
    },
    Spec {
        name: "ls", about: "List the files of a folder, sorted by name.", more: "The columns are name, type and size.", eval: false, run: ls,
        sign: |s| s.input_output_types(vec![(Type::Nothing, Type::table())])
            .rest("pattern", globs(), "The folder or pattern.")
            .switch("all", "Show hidden files.", Some('a'))
            .switch("long", "With what symbolic links point to.", Some('l'))
            .switch("short-names", "Only the names, without the folder.", Some('s'))
            .switch("full-paths", "Absolute paths.", Some('f')),
        examples: &[("ls src/*.c | get name", "The C files of a folder.")],
    },
    Spec {
        name: "glob", about: "Absolute paths that match a pattern, sorted.", more: "`*`, `?`, `[a-z]`, `**` and `{a,b}` are understood.", eval: false, run: glob,
        sign: |s| s.input_output_types(vec![(Type::Nothing, Type::List(Box::new(Type::String)))])
            .required("glob", SyntaxShape::OneOf(vec![SyntaxShape::String, PATH]), "The pattern.")
            .switch("no-dir", "Leave out folders.", Some('D'))
            .switch("no-file", "Leave out files.", Some('F'))
            .switch("no-symlink", "Leave out symbolic links.", Some('S'))
            .named("exclude", SyntaxShape::List(Box::new(SyntaxShape::String)), "Patterns to leave out, relative to the part of the pattern before its first wildcard.", Some('e')),
        examples: &[("glob **/*.h", "All header files below.")],
    },
    Spec {
        name: "open", about: "Read a file.", more: "The name's ending chooses the reader: .json gives a record. Anything else is text, or binary.", eval: false, run: open,
        sign: |s| s.input_output_types(vec![(Type::Nothing, Type::Any), (Type::String, Type::Any), (Type::Any, Type::Any)])
            .rest("files", globs(), "The files.")
            .switch("raw", "The bytes as they are.", Some('r')),
        examples: &[("open --raw configure | str replace a b", "Text of a file.")],
    },
    Spec {
        name: "save", about: "Write to a file.", more: "Records and tables are written as the name's ending says.", eval: false, run: save,
        sign: |s| s.input_output_types(vec![(Type::Any, Type::Nothing)])
            .required("filename", SyntaxShape::Filepath, "The file.")
            .switch("raw", "Write text and bytes only.", Some('r'))
            .switch("append", "Add to the end.", Some('a'))
            .switch("force", "Overwrite.", Some('f')),
        examples: &[("\"#define VERSION 1\\n\" | save config.h", "Write a header.")],
    },
    Spec {
        name: "mkdir", about: "Make folders, with those above them.", more: "", eval: false, run: mkdir,
        sign: |s| none(s).rest("rest", SyntaxShape::OneOf(vec![SyntaxShape::Directory, SyntaxShape::List(Box::new(SyntaxShape::Any))]), "The folders."),
        examples: &[("mkdir ($b.out | path join bin)", "A folder for programs.")],
    },
    Spec {
        name: "touch", about: "Make empty files.", more: "", eval: false, run: touch,
        sign: |s| none(s).rest("files", globs(), "The files."),
        examples: &[("touch config.h", "An empty file.")],
    },
    Spec {
        name: "rm", about: "Remove files.", more: "", eval: false, run: rm,
        sign: |s| none(s).rest("paths", globs(), "What to remove.")
            .switch("recursive", "Folders with all they hold.", Some('r'))
            .switch("force", "No error when there is none.", Some('f')),
        examples: &[("rm -rf tests", "Remove a folder.")],
    },
    Spec {
        name: "cp", about: "Copy files.", more: "Programs stay executable, symbolic links stay links below a copied folder.", eval: false, run: cp,
        sign: |s| none(s).rest("paths", globs(), "What to copy, then where to.")
            .switch("recursive", "Folders with all they hold.", Some('r'))
            .switch("no-clobber", "Leave existing files.", Some('n'))
            .switch("force", "Overwrite; this is what it does anyway.", Some('f')),
        examples: &[("cp -r include $b.out", "Install headers.")],
    },
    Spec {
        name: "mv", about: "Move or rename files.", more: "", eval: false, run: mv,
        sign: |s| none(s).rest("paths", globs(), "What to move, then where to.")
            .switch("force", "Overwrite.", Some('f'))
            .switch("no-clobber", "Leave existing files.", Some('n')),
        examples: &[("mv lua.wasm lua", "Rename a file.")],
    },
    Spec {
        name: "symlink", about: "Make a symbolic link.", more: "", eval: false, run: symlink,
        sign: |s| none(s).required("target", SyntaxShape::String, "What it points to, relative to the link.")
            .required("link", SyntaxShape::Filepath, "Where the link is."),
        examples: &[("symlink clang ($b.out | path join bin clang++)", "A second name for a program.")],
    },
    Spec {
        name: "chmod", about: "Make files executable or not.", more: "A file has no other mode.", eval: false, run: chmod,
        sign: |s| none(s).required("mode", SyntaxShape::String, "+x or -x.").rest("files", globs(), "The files."),
        examples: &[("chmod +x configure", "Make a script executable.")],
    },
    Spec {
        name: "path exists", about: "Whether a file exists.", more: "", eval: false, run: path_exists,
        sign: |s| s.input_output_types(vec![(Type::String, Type::Bool), (Type::List(Box::new(Type::String)), Type::List(Box::new(Type::Bool)))])
            .switch("no-symlink", "A link counts even when its target does not exist.", Some('n')),
        examples: &[("\"configure\" | path exists", "Look for a file.")],
    },
    Spec {
        name: "path type", about: "What is at a path: file, dir or symlink.", more: "The result is null when there is nothing.", eval: false, run: path_type,
        sign: |s| s.input_output_types(vec![(Type::String, Type::Any), (Type::List(Box::new(Type::String)), Type::List(Box::new(Type::Any)))]),
        examples: &[("\"src\" | path type", "Look at a path.")],
    },
    Spec {
        name: "print", about: "Write to the log.", more: "While package files are evaluated, the text is shown as a message.", eval: true, run: print,
        sign: |s| s.input_output_types(vec![(Type::Nothing, Type::Nothing), (Type::Any, Type::Nothing)]).rest("rest", SyntaxShape::Any, "The values.")
            .switch("no-newline", "Without a line break at the end.", Some('n')),
        examples: &[("print $\"building ($b.name)\"", "Say what happens.")],
    },
];

fn ok() -> Result<PipelineData, ShellError> {
    Ok(PipelineData::empty())
}

fn cd(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let v: Value = call.req(es, stack, 0)?;
    let p = paths::one(es, stack, &v)?;
    if !p.is_dir() {
        return Err(fail(format!("cd {}: no such folder", p.display()), v.span(), ""));
    }
    stack.add_env_var("PWD".into(), Value::string(paths::clean(&p).to_string_lossy(), call.head));
    ok()
}

fn kind(m: &fs::Metadata) -> &'static str {
    match m.file_type() {
        t if t.is_dir() => "dir",
        t if t.is_symlink() => "symlink",
        _ => "file",
    }
}

fn entries(dir: &Path, span: Span) -> Result<Vec<PathBuf>, ShellError> {
    let mut v: Vec<PathBuf> = fs::read_dir(dir).map_err(|e| paths::io(e, "read", dir, span))?.filter_map(|e| Some(e.ok()?.path())).collect();
    v.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(v)
}

fn ls(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    let flag = |stack: &mut Stack, n| call.has_flag(es, stack, n);
    let (all, short, full) = (flag(stack, "all")?, flag(stack, "short-names")?, flag(stack, "full-paths")?);
    let long = flag(stack, "long")?;
    let cwd = paths::cwd(es, stack);
    let mut found = vec![];
    if args.is_empty() {
        found = entries(&cwd, call.head)?;
    }
    for (p, span) in paths::many(es, stack, &args, false)? {
        let m = fs::symlink_metadata(&p).map_err(|e| paths::io(e, "list", &p, span))?;
        match args.len() == 1 && p.is_dir() && !m.is_symlink() && !matches!(&args[0], Value::Glob { val, no_expand: false, .. } if val.contains(['*', '?', '['])) {
            true => found.extend(entries(&p, span)?),
            false => found.push(p),
        }
    }
    let mut rows = vec![];
    for p in found {
        let name = p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') && !all {
            continue;
        }
        let m = fs::symlink_metadata(&p).map_err(|e| paths::io(e, "list", &p, call.head))?;
        let shown = if short {
            name
        } else if full {
            p.to_string_lossy().into_owned()
        } else {
            p.strip_prefix(&cwd).unwrap_or(&p).to_string_lossy().into_owned()
        };
        let size = if m.is_file() { m.len() as i64 } else { 0 };
        let mut row = record! { "name" => Value::string(shown, call.head), "type" => Value::string(kind(&m), call.head),
        "size" => Value::filesize(size, call.head) };
        if long {
            row.push("target", fs::read_link(&p).map_or(Value::nothing(call.head), |t| Value::string(t.to_string_lossy(), call.head)));
        }
        rows.push(Value::record(row, call.head));
    }
    Ok(Value::list(rows, call.head).into_pipeline_data())
}

fn glob(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let v: Value = call.req(es, stack, 0)?;
    let pattern = v.clone().coerce_into_string()?;
    let (no_dir, no_file, no_link) = (call.has_flag(es, stack, "no-dir")?, call.has_flag(es, stack, "no-file")?, call.has_flag(es, stack, "no-symlink")?);
    let exclude: Vec<String> = call.get_flag(es, stack, "exclude")?.unwrap_or_default();
    let dir = paths::cwd(es, stack);
    let root = dir.join(paths::literal(&pattern));
    let mut out = vec![];
    let mut not = vec![];
    for x in exclude {
        not.extend(paths::excluded(&root, &x, call.head)?);
    }
    for p in paths::matches(&dir, &pattern, v.span())? {
        let Ok(m) = fs::symlink_metadata(&p) else { continue };
        let skip = (no_dir && m.is_dir()) || (no_file && m.is_file()) || (no_link && m.is_symlink());
        if !skip && !not.iter().any(|n| p.starts_with(n)) {
            out.push(Value::string(p.to_string_lossy(), call.head));
        }
    }
    Ok(Value::list(out, call.head).into_pipeline_data())
}

/// Runs `from json` or the like for a name that ends so.
fn convert(es: &EngineState, stack: &mut Stack, verb: &str, path: &Path, v: Value, head: Span) -> Result<Option<Value>, ShellError> {
    let Some(ext) = path.extension().map(|e| e.to_string_lossy().to_lowercase()) else { return Ok(None) };
    let Some(id) = es.find_decl(format!("{verb} {ext}").as_bytes(), &[]) else { return Ok(None) };
    let call = nu_protocol::ast::Call::new(head);
    Ok(Some(es.get_decl(id).run(es, stack, &(&call).into(), v.into_pipeline_data())?.into_value(head)?))
}

fn open(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    let mut args = call.rest::<Value>(es, stack, 0)?;
    let raw = call.has_flag(es, stack, "raw")?;
    if args.is_empty() {
        args = match input.into_value(call.head)? {
            Value::Nothing { .. } => return Err(fail("open what?", call.head, "name a file")),
            v => vec![v],
        };
    }
    let mut out = vec![];
    for (p, span) in paths::many(es, stack, &args, false)? {
        let b = fs::read(&p).map_err(|e| paths::io(e, "open", &p, span))?;
        let v = paths::value(b, span);
        out.push(match raw {
            true => v,
            false => match convert(es, stack, "from", &p, v.clone(), call.head)? {
                Some(parsed) => parsed,
                None => v,
            },
        });
    }
    Ok(match out.len() {
        1 => out.swap_remove(0),
        _ => Value::list(out, call.head),
    }
    .into_pipeline_data())
}

fn save(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    let v: Value = call.req(es, stack, 0)?;
    let p = paths::one(es, stack, &v)?;
    let (append, force, raw) = (call.has_flag(es, stack, "append")?, call.has_flag(es, stack, "force")?, call.has_flag(es, stack, "raw")?);
    let input = match input {
        PipelineData::Empty => PipelineData::value(Value::string("", call.head), None),
        PipelineData::ByteStream(..) => input,
        p2 => {
            let x = p2.into_value(call.head)?;
            let plain = matches!(x, Value::String { .. } | Value::Binary { .. });
            match (plain || raw, plain) {
                (true, _) => x,
                _ => match convert(es, stack, "to", &p, x.clone(), call.head)? {
                    Some(t) => t,
                    None => x,
                },
            }
            .into_pipeline_data()
        }
    };
    let data = paths::bytes(input, call.head)?.unwrap_or_default();
    if !append && !force && p.exists() {
        return Err(fail(format!("save {}: it exists already", p.display()), v.span(), "overwrite it with --force, or add to it with --append"));
    }
    let mut o = fs::OpenOptions::new();
    let o = if append { o.append(true).create(true) } else { o.write(true).create(true).truncate(true) };
    o.open(&p).and_then(|mut f| f.write_all(&data)).map_err(|e| paths::io(e, "save", &p, v.span()))?;
    ok()
}

fn mkdir(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    for (p, span) in paths::many(es, stack, &args, true)? {
        fs::create_dir_all(&p).map_err(|e| paths::io(e, "mkdir", &p, span))?;
    }
    ok()
}

fn touch(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    for (p, span) in paths::many(es, stack, &args, true)? {
        fs::OpenOptions::new().append(true).create(true).open(&p).map_err(|e| paths::io(e, "touch", &p, span))?;
    }
    ok()
}

fn rm(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    let (recursive, force) = (call.has_flag(es, stack, "recursive")?, call.has_flag(es, stack, "force")?);
    for (p, span) in paths::many(es, stack, &args, force)? {
        let m = match fs::symlink_metadata(&p) {
            Ok(m) => m,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && force => continue,
            Err(e) => return Err(paths::io(e, "rm", &p, span)),
        };
        let r = match (m.is_dir(), recursive) {
            (false, _) => fs::remove_file(&p),
            (true, true) => fs::remove_dir_all(&p),
            (true, false) => return Err(fail(format!("rm {}: it is a folder", p.display()), span, "remove it with --recursive")),
        };
        r.map_err(|e| paths::io(e, "rm", &p, span))?;
    }
    ok()
}

/// Splits off the last argument, the destination; with several sources it must be a folder.
fn target(es: &EngineState, stack: &Stack, call: &Call, args: &[Value]) -> Result<(Vec<(PathBuf, Span)>, PathBuf), ShellError> {
    let Some((last, from)) = args.split_last().filter(|(_, f)| !f.is_empty()) else {
        return Err(fail("say what and where to", call.head, ""));
    };
    let from = paths::many(es, stack, from, false)?;
    let to = paths::one(es, stack, last)?;
    if from.len() > 1 && !to.is_dir() {
        return Err(fail(format!("{}: no such folder", to.display()), last.span(), "several files go into a folder"));
    }
    Ok((from, to))
}

fn into(to: &Path, from: &Path) -> PathBuf {
    match from.file_name() {
        Some(n) if to.is_dir() => to.join(n),
        _ => to.to_path_buf(),
    }
}

fn cp(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    let (recursive, keep) = (call.has_flag(es, stack, "recursive")?, call.has_flag(es, stack, "no-clobber")?);
    let (from, to) = target(es, stack, call, &args)?;
    for (p, span) in from {
        if p.is_dir() && !recursive {
            return Err(fail(format!("cp {}: it is a folder", p.display()), span, "copy it with --recursive"));
        }
        let dest = into(&to, &p);
        if dest.starts_with(&p) {
            return Err(fail(format!("cp {}: into itself", p.display()), span, ""));
        }
        copy(&p, &dest, keep, true, span)?;
    }
    ok()
}

/// Copies one file or tree. Links are followed at the top only.
fn copy(from: &Path, to: &Path, keep: bool, follow: bool, span: Span) -> Result<(), ShellError> {
    let wrong = |e| paths::io(e, "cp", from, span);
    let m = if follow { fs::metadata(from) } else { fs::symlink_metadata(from) }.map_err(wrong)?;
    if m.is_dir() {
        fs::create_dir_all(to).map_err(|e| paths::io(e, "cp to", to, span))?;
        for e in entries(from, span)? {
            copy(&e, &to.join(e.file_name().unwrap_or_default()), keep, false, span)?;
        }
        return Ok(());
    }
    if keep && fs::symlink_metadata(to).is_ok() {
        return Ok(());
    }
    if m.is_symlink() {
        let target = fs::read_link(from).map_err(wrong)?;
        let _ = fs::remove_file(to);
        return link(&target.to_string_lossy(), to, span);
    }
    let mut input = fs::File::open(from).map_err(wrong)?;
    let mut output = fs::File::create(to).map_err(|e| paths::io(e, "cp to", to, span))?;
    std::io::copy(&mut input, &mut output).map_err(|e| paths::io(e, "cp to", to, span))?;
    drop(output);
    if executable(from) {
        set_executable(to, true, span)?;
    }
    Ok(())
}

fn mv(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let args = call.rest::<Value>(es, stack, 0)?;
    let keep = call.has_flag(es, stack, "no-clobber")?;
    let (from, to) = target(es, stack, call, &args)?;
    for (p, span) in from {
        let dest = into(&to, &p);
        if keep && fs::symlink_metadata(&dest).is_ok() {
            continue;
        }
        if fs::rename(&p, &dest).is_err() {
            // From one mount to another.
            copy(&p, &dest, false, false, span)?;
            let r = if fs::symlink_metadata(&p).is_ok_and(|m| m.is_dir()) { fs::remove_dir_all(&p) } else { fs::remove_file(&p) };
            r.map_err(|e| paths::io(e, "mv", &p, span))?;
        }
    }
    ok()
}

unsafe extern "C" {
    #[link_name = "symlink"]
    fn libc_symlink(target: *const std::ffi::c_char, link: *const std::ffi::c_char) -> std::ffi::c_int;
}

fn link(target: &str, at: &Path, span: Span) -> Result<(), ShellError> {
    let c = |s: &str| std::ffi::CString::new(s).map_err(|_| fail("a path with a zero byte", span, ""));
    let (t, l) = (c(target)?, c(&at.to_string_lossy())?);
    if unsafe { libc_symlink(t.as_ptr(), l.as_ptr()) } != 0 {
        return Err(paths::io(std::io::Error::last_os_error(), "symlink", at, span));
    }
    Ok(())
}

fn symlink(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let (t, l): (String, Value) = (call.req(es, stack, 0)?, call.req(es, stack, 1)?);
    let p = paths::one(es, stack, &l)?;
    link(&t, &p, l.span())?;
    ok()
}

/// Whether the file at `p` may be run; WASI does not tell, the host does.
pub fn executable(p: &Path) -> bool {
    matches!(host::call("stat", json!({"path": p.to_string_lossy()})), Ok(v) if v["exec"].as_bool() == Some(true))
}

pub fn set_executable(p: &Path, exec: bool, span: Span) -> Result<(), ShellError> {
    host::call("chmod", json!({"path": p.to_string_lossy(), "exec": exec})).map(|_| ()).map_err(|r| r.at(span))
}

fn chmod(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let mode: Value = call.req(es, stack, 0)?;
    let exec = match mode.as_str()? {
        "+x" | "a+x" | "u+x" => true,
        "-x" | "a-x" => false,
        _ => return Err(fail("a mode is +x or -x", mode.span(), "a file is executable or not; nothing else is kept")),
    };
    let args = call.rest::<Value>(es, stack, 1)?;
    for (p, span) in paths::many(es, stack, &args, false)? {
        set_executable(&p, exec, span)?;
    }
    ok()
}

fn map_paths(es: &EngineState, stack: &Stack, input: PipelineData, head: Span, f: impl Fn(&Path) -> Value) -> Result<PipelineData, ShellError> {
    let each = |v: &Value| Ok::<_, ShellError>(f(&paths::one(es, stack, v)?));
    Ok(match input.into_value(head)? {
        Value::List { vals, .. } => Value::list(vals.iter().map(each).collect::<Result<_, _>>()?, head),
        v => each(&v)?,
    }
    .into_pipeline_data())
}

fn path_exists(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    let keep = call.has_flag(es, stack, "no-symlink")?;
    map_paths(es, stack, input, call.head, |p| Value::bool(if keep { fs::symlink_metadata(p).is_ok() } else { p.exists() }, call.head))
}

fn path_type(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    map_paths(es, stack, input, call.head, |p| match fs::symlink_metadata(p) {
        Ok(m) => Value::string(kind(&m), call.head),
        Err(_) => Value::nothing(call.head),
    })
}

fn print(es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
    let mut vals = call.rest::<Value>(es, stack, 0)?;
    if vals.is_empty() {
        vals = match input.into_value(call.head)? {
            Value::Nothing { .. } => vec![],
            v => vec![v],
        };
    }
    let mut text: String = vals.iter().map(|v| match v {
        Value::String { val, .. } => val.clone(),
        v => nuon::to_nuon(es, v, nuon::ToNuonConfig::default().span(Some(call.head))).unwrap_or_else(|_| v.to_expanded_string(" ", &es.config)),
    }).collect::<Vec<_>>().join("\n");
    if !call.has_flag(es, stack, "no-newline")? {
        text.push('\n');
    }
    if let Some(text) = memo::say(text) {
        host::call("print", json!({"text": text})).map_err(|r| r.at(call.head))?;
    }
    ok()
}
