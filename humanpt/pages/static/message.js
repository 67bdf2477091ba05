// One view as humanpt/live/message.py writes it down: the head's length, the head, the vertices, the picture.

export function readMessage(data) {
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  let offset = 4 + length;
  const meshes = head.subjects.map(({ vertices }) => {
    const values = new Float32Array(data, offset, 3 * vertices);
    offset += values.byteLength;
    return values;
  });
  return { head, meshes, jpeg: new Uint8Array(data, offset) };
}
