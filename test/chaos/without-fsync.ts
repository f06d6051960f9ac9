import type { FileSystem, WritableFile } from "../../src/log/file-system.ts";

/**
 * A file system under which the journal has lost the fsync of its commits, and nothing else: a new segment still comes
 * to be with a durable snapshot and a durable name, which is the one fdatasync of the handle that created it.
 */
export function withoutFsync(inner: FileSystem): FileSystem {
  return {
    makeDirectory: (path) => inner.makeDirectory(path),
    list: (path) => inner.list(path),
    syncDirectory: (path) => inner.syncDirectory(path),
    create: async (path) => unsynced(await inner.create(path), 1),
    openForWriting: async (path) => unsynced(await inner.openForWriting(path), 0),
    openForReading: (path) => inner.openForReading(path),
    rename: (from, to) => inner.rename(from, to),
    remove: (path) => inner.remove(path),
  };
}

/** The first `honest` fdatasyncs are done, the others only said to be. */
function unsynced(inner: WritableFile, honest: number): WritableFile {
  let left = honest;
  return {
    write: (buffers, position) => inner.write(buffers, position),
    truncate: (length) => inner.truncate(length),
    datasync: async () => {
      if (left-- > 0) await inner.datasync();
    },
    close: () => inner.close(),
  };
}
