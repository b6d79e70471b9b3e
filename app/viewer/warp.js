// Draws the photo displaced: a WebGL2 mesh with one vertex a cell of the modes, larger motion in front.
// Beyond the photo's border the mesh goes on by as much as any point may move, with the border's motion and the photo
// mirrored, so that no hole opens where the border moves inwards.

const VERTEX_SHADER = `#version 300 es
precision highp float;
precision highp int;
uniform sampler2D displacement;  // of each cell, in cells
uniform sampler2D cells;         // of each cell: 0 where it moves to 1 where it stays; depth, 0 behind to 1 in front
uniform ivec2 size;              // of the grid without its margin
uniform int margin;
uniform int step;                // cells from vertex to vertex
out vec2 photoAt;
out float still;

void main() {
  int columns = (size.x + 2 * margin + step - 1) / step + 1;
  ivec2 cell = step * ivec2(gl_VertexID % columns, gl_VertexID / columns) - margin;
  cell = min(cell, size - 1 + margin);
  ivec2 inside = clamp(cell, ivec2(0), size - 1);
  vec2 centre = vec2(cell) + 0.5;
  vec2 shown = (centre + texelFetch(displacement, inside, 0).rg) / vec2(size);
  vec2 state = texelFetch(cells, inside, 0).rg;
  photoAt = centre / vec2(size);
  still = state.r;
  gl_Position = vec4(2.0 * shown.x - 1.0, 1.0 - 2.0 * shown.y, 0.9 - 1.8 * state.g, 1);
}`;

const FRAGMENT_SHADER = `#version 300 es
precision highp float;
uniform sampler2D photo;
uniform float stillShown;
in vec2 photoAt;
in float still;
out vec4 colour;

void main() {
  vec3 tinted = mix(texture(photo, photoAt).rgb, vec3(0.85, 0.1, 0.45), 0.55 * still * stillShown);
  colour = vec4(tinted, 1);
}`;

class Warp {
  // Throws where there is no WebGL2.
  constructor(canvas, photo, basis) {
    this.basis = basis;
    this.margin = Math.ceil(basis.limit) + 1;
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, powerPreference: "high-performance" });
    if (!this.gl) throw new Error("no WebGL2");
    this.program = this.link();
    this.uniforms = Object.fromEntries(
      ["photo", "displacement", "cells", "size", "margin", "step", "stillShown"].map((name) => [
        name,
        this.gl.getUniformLocation(this.program, name),
      ]),
    );
    this.gl.useProgram(this.program);
    this.depth = amplitudeRanks(basis);
    this.texels = new Float32Array(2 * basis.cells);
    this.texture(0, this.gl.LINEAR_MIPMAP_LINEAR, this.gl.MIRRORED_REPEAT);
    this.texture(1, this.gl.NEAREST, this.gl.CLAMP_TO_EDGE);
    this.texture(2, this.gl.NEAREST, this.gl.CLAMP_TO_EDGE);
    this.putPhoto(photo);
    this.putCells();
    this.putMesh(1);
    this.putConstants();
  }

  link() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the shaders do not link: ${gl.getProgramInfoLog(program)}`);
    }
    return program;
  }

  texture(unit, filter, wrap) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter === gl.NEAREST ? gl.NEAREST : gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, wrap);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, wrap);
  }

  putPhoto(photo) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, photo);
    gl.generateMipmap(gl.TEXTURE_2D);
  }

  // Two numbers a cell.
  put(unit, first, second) {
    const { gl, basis, texels } = this;
    for (let p = 0; p < basis.cells; p++) {
      texels[2 * p] = first[p];
      texels[2 * p + 1] = second[p];
    }
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RG32F, basis.width, basis.height, 0, gl.RG, gl.FLOAT, texels);
  }

  // What stays and what is in front. The order is that of the sampled motion's amplitude, all modes together: it
  // stays while the photo moves.
  putCells() {
    this.put(2, this.basis.free.map((free) => 1 - free), this.depth);
  }

  // A vertex every so many cells: 1, more where drawing is slow.
  putMesh(step) {
    const { gl, basis, margin } = this;
    const [columns, rows] = [basis.width, basis.height].map((side) => Math.ceil((side + 2 * margin) / step) + 1);
    const indices = new Uint32Array(6 * (columns - 1) * (rows - 1));
    for (let row = 0, k = 0; row < rows - 1; row++) {
      for (let column = 0; column < columns - 1; column++, k += 6) {
        const corner = row * columns + column;
        const below = corner + columns;
        indices.set([corner, below, corner + 1, corner + 1, below, below + 1], k);
      }
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    gl.uniform1i(this.uniforms.step, step);
    this.indexCount = indices.length;
    this.step = step;
  }

  putConstants() {
    const { gl, uniforms, basis } = this;
    gl.uniform1i(uniforms.photo, 0);
    gl.uniform1i(uniforms.displacement, 1);
    gl.uniform1i(uniforms.cells, 2);
    gl.uniform2i(uniforms.size, basis.width, basis.height);
    gl.uniform1i(uniforms.margin, this.margin);
    gl.enable(gl.DEPTH_TEST);
  }

  // Draw the photo with each cell displaced by (dx, dy).
  draw(dx, dy, stillShown) {
    const { gl, uniforms } = this;
    this.put(1, dx, dy);
    gl.uniform1f(uniforms.stillShown, stillShown ? 1 : 0);
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.drawElements(gl.TRIANGLES, this.indexCount, gl.UNSIGNED_INT, 0);
  }
}

// sqrt(2 sum_j |S_j|^2) of each cell, divided by the largest.
function amplitudeRanks(basis) {
  const squares = new Float64Array(basis.cells);
  basis.values.forEach((value, at) => (squares[at % basis.cells] += value * value));
  const largest = squares.reduce((a, b) => Math.max(a, b), 0) || 1;
  return squares.map((square) => Math.sqrt(square / largest));
}
