// The texts of the Debian package that are made from other files: control, changelog, copyright, and the unit.

const MAINTAINER = 'Weft maintainers <weft@maintainers.invalid>';

/**
 * What the binaries of Node and koffi are linked with, and the commands that Weft runs. Debian 11, Ubuntu 20.04 and
 * everything later have these versions. Without firewall rules Weft does not start, and a net-conf.json of flannel asks
 * for iptables.
 */
const DEPENDS = ['iproute2', 'iptables', 'kmod', 'libc6 (>= 2.28)', 'libgcc-s1', 'libstdc++6 (>= 8)'];

/**
 * Returns the control file (deb-control(5)).
 * @param {{ arch: string, version: string, description: string, kibibytes: number }} package_
 */
export function controlFile({ arch, version, description, kibibytes }) {
  return `Package: weft
Version: ${version}
Architecture: ${arch}
Maintainer: ${MAINTAINER}
Installed-Size: ${kibibytes}
Depends: ${DEPENDS.join(', ')}
Suggests: nftables
Section: net
Priority: optional
Description: userspace VXLAN dataplane that takes flanneld's place
${paragraph(`${description}.`)}
 .
${paragraph(
  'A node whose kernel has no vxlan module, such as a Raspberry Pi without its extra modules, joins a flannel cluster ' +
    'with it. The other nodes need no change. The package contains its own Node.js.',
)}
`;
}

/** Returns text in lines of a long description, which begin with a space. */
function paragraph(text) {
  return text.replace(/(.{1,78})(\s+|$)/g, ' $1\n').trimEnd();
}

/**
 * Returns Debian's changelog (deb-changelog(5)) of the newest sections of CHANGELOG.md.
 * @param {string} markdown
 * @param {{ version: string, seconds: number }} release
 */
export function debianChangelog(markdown, { version, seconds }) {
  const [, ...sections] = markdown.split(/^## /m);
  // Before a release its changes are under "Unreleased".
  const section = sections.find((text) => text.startsWith(`[${version}]`) && !/not released/.test(text));
  const [, ...groups] = (section ?? sections[0]).split(/^### /m);
  const lines = groups.flatMap((group) => {
    const [title, ...items] = group.trimEnd().split(/\n+(?=- |$)/);
    return [`  [ ${title.trim()} ]`, ...items.map((item) => bullet(item.slice(2)))];
  });
  const date = new Date(seconds * 1000).toUTCString().replace('GMT', '+0000');
  return `weft (${version}) unstable; urgency=medium\n\n${lines.join('\n')}\n\n -- ${MAINTAINER}  ${date}\n`;
}

function bullet(item) {
  const text = item.replace(/\s+/g, ' ').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return `  * ${text.replace(/(.{1,74})(\s+|$)/g, '    $1\n').trim()}`;
}

/** The text that Debian has once for all packages (policy 12.5). */
const APACHE = /Apache License\s+Version 2\.0, January 2004[^]*?END OF TERMS AND CONDITIONS/g;
const COMMON = 'Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0';

/**
 * Returns the copyright file: Weft's licence, and the texts of everything that the package contains.
 * @param {{ name: string, text: string }[]} licences
 */
export function copyrightFile(licences) {
  const rule = '='.repeat(80);
  const own = `Weft is licensed under the Apache License, Version 2.0. On Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.

Copyright: the authors of Weft

The package also contains Node.js and packages of npm, with these licences:
`;
  const texts = licences.map(
    ({ name, text }) => `${rule}\n${name}\n${rule}\n\n${text.replace(APACHE, COMMON).trim()}\n`,
  );
  return [own, ...texts].join('\n');
}

/** Returns the unit of the package: it runs the package's own program. @throws Error if it would run another one */
export function packagedUnit(unit) {
  const text = unit.replaceAll('/usr/bin/env weft ', '/usr/bin/weft ');
  for (const key of ['ExecStart', 'ExecReload'])
    if (!text.includes(`\n${key}=/usr/bin/weft `))
      throw new Error(`weft.service: ${key} does not run /usr/bin/weft`);
  return text;
}
