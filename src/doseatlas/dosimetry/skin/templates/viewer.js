"use strict";
// Turns the skin dose map into a body that can be looked at from all sides. Needs WebGL and nothing from outside.
(() => {
  const map = JSON.parse(document.getElementById("map").textContent);
  const canvas = document.querySelector(".view canvas");
  const output = document.querySelector(".view output");
  const gl = canvas.getContext("webgl", { antialias: true, alpha: true, preserveDrawingBuffer: true });
  if (!gl) {
    output.textContent = "This browser has no WebGL; the flat map shows the same.";
    return;
  }

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const colour = (dose) => {
    if (dose <= 0) return map.bare;
    const at = Math.min(dose / map.peak, 1) * (map.colours.length - 1);
    const low = Math.min(Math.floor(at), map.colours.length - 2);
    return map.colours[low].map((c, i) => c + (at - low) * (map.colours[low + 1][i] - c));
  };

  // Six vertices a cell: place (mm), colour, and the cell's number as a colour for pointing at it.
  const place = [], paint = [], number = [], normal = [], cells = [];
  for (const part of map.parts) {
    const points = new Int16Array(bytes(part.vertices)), doses = new Float32Array(bytes(part.dose));
    const point = (row, column) => {
      const at = 3 * (row * (part.columns + 1) + column);
      return [points[at], -points[at + 1], points[at + 2]];
    };
    for (let row = 0; row < part.rows; row++) {
      for (let column = 0; column < part.columns; column++) {
        const dose = doses[row * part.columns + column];
        const a = point(row, column), b = point(row, column + 1), c = point(row + 1, column + 1), d = point(row + 1, column);
        const p = [0, 1, 2].map((i) => c[i] - a[i]), q = [0, 1, 2].map((i) => b[i] - d[i]);
        const n = [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
        const length = Math.hypot(...n) || 1;
        cells.push({ dose, part: part.name, middle: [0, 1, 2].map((i) => (a[i] + b[i] + c[i] + d[i]) / 4) });
        const rgb = colour(dose), id = cells.length;
        for (const corner of [a, b, c, a, c, d]) {
          place.push(...corner);
          paint.push(...rgb.map((x) => x / 255));
          normal.push(...n.map((x) => x / length));
          number.push((id & 255) / 255, ((id >> 8) & 255) / 255, (id >> 16) / 255);
        }
      }
    }
  }

  const shader = (kind, source) => {
    const one = gl.createShader(kind);
    gl.shaderSource(one, source);
    gl.compileShader(one);
    return one;
  };
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, `
    attribute vec3 place, paint, number, normal;
    uniform mat4 look; uniform vec3 light; uniform float pick;
    varying vec3 seen;
    void main() {
      gl_Position = look * vec4(place, 1.0);
      seen = mix(paint * (0.72 + 0.28 * abs(dot(normal, light))), number, pick);
    }`));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, `
    precision highp float; varying vec3 seen;
    void main() { gl_FragColor = vec4(seen, 1.0); }`));
  gl.linkProgram(program);
  gl.useProgram(program);
  for (const [name, values] of Object.entries({ place, paint, number, normal })) {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(values), gl.STATIC_DRAW);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 0, 0);
  }
  const uniform = (name) => gl.getUniformLocation(program, name);
  const [atLook, atLight, atPick] = ["look", "light", "pick"].map(uniform);
  gl.enable(gl.DEPTH_TEST);
  const frame = gl.createFramebuffer(), texture = gl.createTexture(), depth = gl.createRenderbuffer();

  const low = [0, 1, 2].map((i) => Infinity), high = low.map((x) => -x);
  for (let at = 0; at < place.length; at++) {
    low[at % 3] = Math.min(low[at % 3], place[at]);
    high[at % 3] = Math.max(high[at % 3], place[at]);
  }
  // The picture is centred on the peak's height, so that the irradiated part fills it.
  const size = Math.max(...high.map((x, i) => x - low[i]));
  const centre = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, map.peak_place[2]];
  let turn = map.from, tilt = 0, zoom = size > 900 ? size / 900 : 1;

  // Stored columns; z is up, the eye looks from the direction `turn` (0: from the front).
  const look = () => {
    const s = Math.sin(turn), c = Math.cos(turn), t = Math.sin(tilt), u = Math.cos(tilt);
    const right = [c, -s, 0], up = [-s * t, -c * t, u], back = [s * u, c * u, t];
    const across = (2 * zoom * 1.25) / size, aspect = canvas.width / canvas.height;
    const x = across * (aspect < 1 ? 1 : 1 / aspect), y = x * aspect, z = -1 / (2 * size);
    const dot = (v) => v[0] * centre[0] + v[1] * centre[1] + v[2] * centre[2];
    gl.uniform3f(atLight, ...back);
    gl.uniformMatrix4fv(atLook, false, [
      x * right[0], y * up[0], z * back[0], 0, x * right[1], y * up[1], z * back[1], 0,
      x * right[2], y * up[2], z * back[2], 0, -x * dot(right), -y * dot(up), -z * dot(back), 1,
    ]);
  };
  const draw = (pick) => {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform1f(atPick, pick);
    look();
    gl.drawArrays(gl.TRIANGLES, 0, place.length / 3);
  };
  const fit = () => {
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, canvas.width, canvas.height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT16, canvas.width, canvas.height);
    draw(0);
  };
  const cellAt = (event) => {
    const box = canvas.getBoundingClientRect(), pixel = new Uint8Array(4);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
    draw(1);
    const x = ((event.clientX - box.left) / box.width) * canvas.width;
    const y = (1 - (event.clientY - box.top) / box.height) * canvas.height;
    gl.readPixels(x, y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return cells[pixel[0] + 256 * pixel[1] + 65536 * pixel[2] - 1];
  };
  const say = (cell) => {
    if (!cell) return;
    const dose = cell.dose > 0 ? `${cell.dose >= 100 ? cell.dose.toFixed(0) : cell.dose.toPrecision(3)} mGy` : "not in a beam";
    const side = `${Math.abs(cell.middle[0] / 10).toFixed(0)} cm ${cell.middle[0] >= 0 ? "left" : "right"} of the middle`;
    output.textContent = `${cell.part}: ${dose}; ${side}, ${(-cell.middle[2] / 10).toFixed(0)} cm below the crown`;
  };

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    held = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (held) {
      turn += (event.clientX - held[0]) / 120;
      tilt = Math.max(-1.5, Math.min(1.5, tilt + (event.clientY - held[1]) / 120));
      held = [event.clientX, event.clientY];
      draw(0);
    } else {
      say(cellAt(event));
      draw(0);
    }
  });
  const zoomBy = (factor) => { zoom = Math.max(0.5, Math.min(12, zoom * factor)); draw(0); };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 500));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => { turn -= 0.1; }, ArrowRight: () => { turn += 0.1; },
    ArrowUp: () => { tilt = Math.min(1.5, tilt + 0.1); }, ArrowDown: () => { tilt = Math.max(-1.5, tilt - 0.1); },
    "+": () => zoomBy(1.2), "-": () => zoomBy(1 / 1.2),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
    draw(0);
  });
  for (const [name, angle] of [["Back", Math.PI], ["Front", 0], ["Left side", Math.PI / 2], ["Right side", -Math.PI / 2]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => { turn = angle; tilt = 0; draw(0); });
    document.querySelector(".sides").append(button);
  }
  new ResizeObserver(fit).observe(canvas);
  fit();
})();
