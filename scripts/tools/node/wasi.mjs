// Runs a WASI program that computes and prints, in Node's V8: node wasi.mjs PROGRAM.wasm ARGUMENT…
//
// Not with node:wasi, which goes on using a program's memory where it was before it grew, and then crashes
// (https://github.com/nodejs/node/issues/51303).
import { readFileSync, writeSync } from "node:fs";
import { randomFillSync } from "node:crypto";

const [path, ...args] = process.argv.slice(2);
const SUCCESS = 0;
const BAD_DESCRIPTOR = 8;
const REALTIME = 0;

class Exit {
  constructor(code) {
    this.code = code;
  }
}

let memory;
// Made anew each time: the buffer is another one after the memory grew.
const view = () => new DataView(memory.buffer);
const bytes = (at, length) => new Uint8Array(memory.buffer, at, length);

// Texts as C has them, and where each begins; as `args_sizes_get` and `args_get` give them.
const strings = (texts) => {
  const encoded = texts.map((text) => new TextEncoder().encode(`${text}\0`));
  return {
    sizes(count, size) {
      view().setUint32(count, encoded.length, true);
      view().setUint32(size, encoded.reduce((sum, text) => sum + text.length, 0), true);
      return SUCCESS;
    },
    get(table, at) {
      for (const text of encoded) {
        view().setUint32(table, at, true);
        bytes(at, text.length).set(text);
        table += 4;
        at += text.length;
      }
      return SUCCESS;
    },
  };
};

const argv = strings([path, ...args]);
const environment = strings([]);
const host = {
  args_sizes_get: argv.sizes,
  args_get: argv.get,
  environ_sizes_get: environment.sizes,
  environ_get: environment.get,
  clock_time_get(clock, _precision, result) {
    const now = clock === REALTIME ? BigInt(Date.now()) * 1_000_000n : process.hrtime.bigint();
    view().setBigUint64(result, now, true);
    return SUCCESS;
  },
  random_get(at, length) {
    randomFillSync(bytes(at, length));
    return SUCCESS;
  },
  fd_write(descriptor, vectors, count, result) {
    let written = 0;
    for (let vector = vectors; vector < vectors + 8 * count; vector += 8) {
      const text = bytes(view().getUint32(vector, true), view().getUint32(vector + 4, true));
      for (let done = 0; done < text.length; ) done += writeSync(descriptor, text, done);
      written += text.length;
    }
    view().setUint32(result, written, true);
    return SUCCESS;
  },
  proc_exit(code) {
    throw new Exit(code);
  },
};

// Whatever else there is has to do with files, and there are none.
const wasi = new Proxy(host, { get: (known, name) => known[name] ?? (() => BAD_DESCRIPTOR) });
const module = await WebAssembly.compile(readFileSync(path));
const { exports } = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi });
memory = exports.memory;
try {
  exports._start();
} catch (reason) {
  if (!(reason instanceof Exit)) throw reason;
  process.exitCode = reason.code;
}
