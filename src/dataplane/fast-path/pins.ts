/**
 * The pins of a fast path in a BPF file system: its links and maps under names. They outlive this process, and bpftool finds
 * them. The directory is that of this network namespace and overlay device, because containers may share the
 * file system.
 */

import { mkdirSync, readdirSync, rmdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openPinned, pin } from '../../sys/bpf.js';
import { BPF_FS_MAGIC } from '../../sys/constants.js';

/** Where systemd and some container runtimes mount a BPF file system. */
const BPF_FILE_SYSTEM = '/sys/fs/bpf';

/**
 * Where a container has that of its host. AppArmor's default profile for containers forbids to write in /sys/fs/bpf
 * (containerd, contrib/apparmor/template.go), and a file system of the container would disappear with it.
 */
const BPF_FILE_SYSTEM_OF_HOST = '/host/sys/fs/bpf';

export class Pins {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Returns the pins of an overlay device; undefined where there is no BPF file system that this process may write. */
  static of(overlay: string, fileSystem = bpfFileSystem()): Pins | undefined {
    try {
      if (!isBpfFileSystem(fileSystem)) return undefined;
      // The file system reserves names with dots (kernel/bpf/inode.c, bpf_lookup).
      const pins = new Pins(join(namespaceDirectory(fileSystem), overlay.replaceAll('.', '_')));
      mkdirSync(pins.directory, { recursive: true, mode: 0o700 });
      return pins;
    } catch {
      return undefined;
    }
  }

  /** Removes the pins of all overlay devices of this network namespace. Returns whether there were any. */
  static clearAll(fileSystem = bpfFileSystem()): boolean {
    const namespace = namespaceDirectory(fileSystem);
    const cleared = namesIn(namespace).map((overlay) => new Pins(join(namespace, overlay)).clear());
    return cleared.includes(true);
  }

  /** Pins an object under a name, instead of what has that name. @throws SystemError */
  set(name: string, fd: number): void {
    this.delete(name);
    this.keep(name, fd);
  }

  /** Pins an object unless something has that name. Returns whether it did. @throws SystemError */
  keep(name: string, fd: number): boolean {
    if (this.has(name)) return false;
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    pin(fd, this.pathOf(name));
    return true;
  }

  has(name: string): boolean {
    return this.names().includes(name);
  }

  /** Opens the object of a name. The caller closes it. @throws SystemError */
  open(name: string): number | undefined {
    return openPinned(this.pathOf(name));
  }

  delete(name: string): void {
    rmSync(this.pathOf(name), { force: true });
  }

  /** Removes all pins and the directory. Returns whether there was one. */
  clear(): boolean {
    const names = this.names();
    for (const name of names) this.delete(name);
    this.removeDirectory();
    return names.length > 0;
  }

  /** Returns the names of all pins. */
  names(): string[] {
    return namesIn(this.directory);
  }

  private pathOf(name: string): string {
    return join(this.directory, name);
  }

  /** Removes the directory, and those above it, as far as nothing else is in them. */
  private removeDirectory(): void {
    for (let path = this.directory, level = 0; level < 3; path = dirname(path), level++) {
      try {
        rmdirSync(path);
      } catch {
        return;
      }
    }
  }
}

/** Returns where Weft looks for a BPF file system: that of the host, if a container has it. */
export function bpfFileSystem(): string {
  return isBpfFileSystem(BPF_FILE_SYSTEM_OF_HOST) ? BPF_FILE_SYSTEM_OF_HOST : BPF_FILE_SYSTEM;
}

/** Returns whether a BPF file system is mounted there. */
export function isBpfFileSystem(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}

function namespaceDirectory(fileSystem: string): string {
  return join(fileSystem, 'weft', `net-${statSync('/proc/self/ns/net').ino}`);
}

/** Returns the names in a directory; none if there is no such directory. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
