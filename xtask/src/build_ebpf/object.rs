//! What is in a kernel object.
//!
//! What enters: the bytes of an ELF file that `bpf-linker` wrote. What leaves: the same without DWARF, and its programs
//! with their length. Never here: a file, or the meaning of a program.

use anyhow::{Context as _, bail};
use object::build::elf::{Builder, SectionData};
use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SymbolKind, elf};

/// A kernel instruction's size in bytes.
const INSTRUCTION: u64 = 8;
/// The kernel reads types from the first and aya relocates lines and functions by the second.
const KEPT: [&str; 2] = [".BTF", ".BTF.ext"];

/// One function of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// ELF section, which tells the hook.
    pub(super) section: String,
    pub(super) name: String,
    /// Length in kernel instructions of 8 bytes.
    pub(super) instructions: u64,
}

/// The object without its DWARF, which is nine tenths of it and which nothing reads.
///
/// # Errors
/// The object is no ELF file, or it came without BTF.
pub(super) fn strip(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("this is no ELF object")?;
    for section in &mut builder.sections {
        let name = String::from_utf8_lossy(section.name.as_slice()).into_owned();
        section.delete = name.starts_with(".debug_") || name.starts_with(".rel.debug_");
    }
    builder.delete_orphans();
    name_sections(&mut builder);
    let mut stripped = Vec::new();
    builder.write(&mut stripped).context("the object cannot be written anew")?;
    let file = parse(&stripped)?;
    for name in KEPT {
        if file.section_by_name(name).is_none_or(|section| section.size() == 0) {
            bail!(
                "there is no {name} in the object: it must be compiled with debug info and linked with --btf"
            );
        }
    }
    Ok(stripped)
}

/// LLVM keeps the names of sections and of symbols in one table; the writer wants the former apart.
fn name_sections(builder: &mut Builder<'_>) {
    if builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        return;
    }
    let section = builder.sections.add();
    section.name = b".shstrtab".as_slice().into();
    section.sh_type = elf::SHT_STRTAB;
    section.sh_addralign = 1;
    section.data = SectionData::SectionString;
}

/// Every function of the object, by section and place.
///
/// # Errors
/// The object holds no program.
pub(super) fn programs(object: &[u8]) -> anyhow::Result<Vec<Program>> {
    let file = parse(object)?;
    let mut placed = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index).context("a symbol's section is not there")?;
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        if sh_flags & u64::from(elf::SHF_EXECINSTR) == 0 {
            continue;
        }
        let program = Program {
            section: section.name().context("a section has no name")?.to_owned(),
            name: symbol.name().context("a function has no name")?.to_owned(),
            instructions: symbol.size() / INSTRUCTION,
        };
        placed.push((index.0, symbol.address(), program));
    }
    if placed.is_empty() {
        bail!("there is no program in the object");
    }
    placed.sort_by_key(|(section, address, _)| (*section, *address));
    Ok(placed.into_iter().map(|(_, _, program)| program).collect())
}

fn parse(object: &[u8]) -> anyhow::Result<ElfFile64<'_>> {
    let file = ElfFile64::<Endianness>::parse(object).context("this is no 64-bit ELF object")?;
    let header = file.elf_header();
    if header.e_machine(file.endian()) != elf::EM_BPF {
        bail!("this ELF object is not for the kernel's virtual machine");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use object::write::{Object, StandardSection, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, SectionKind, SymbolFlags, SymbolScope};

    use super::*;

    #[test]
    fn dwarf_goes_and_types_stay() {
        let whole = an_object(&[".BTF", ".BTF.ext", ".debug_info", ".debug_line"]);
        let stripped = strip(&whole).unwrap();
        let file = parse(&stripped).unwrap();
        assert!(file.section_by_name(".debug_info").is_none());
        assert_eq!(file.section_by_name(".BTF").unwrap().data().unwrap(), [7; 64]);
        assert_eq!(programs(&stripped).unwrap(), programs(&whole).unwrap());
    }

    #[test]
    fn object_without_types_is_refused() {
        let error = strip(&an_object(&[".BTF"])).unwrap_err().to_string();
        assert!(error.contains(".BTF.ext"), "{error}");
    }

    #[test]
    fn programs_are_listed_with_their_length() {
        let program = Program { section: ".text".into(), name: "answer".into(), instructions: 3 };
        assert_eq!(programs(&an_object(&[])).unwrap(), [program]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(strip(b"not an object").is_err());
        assert!(programs(b"").is_err());
    }

    fn an_object(sections: &[&str]) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, object::Endianness::Little);
        let text = object.section_id(StandardSection::Text);
        object.append_section_data(text, &[0; 24], 8);
        object.add_symbol(Symbol {
            name: b"answer".to_vec(),
            value: 0,
            size: 24,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        for name in sections {
            let id = object.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Other);
            object.append_section_data(id, &[7; 64], 1);
        }
        object.write().unwrap()
    }
}
