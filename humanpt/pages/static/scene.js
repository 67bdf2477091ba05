// The 3D view: meshes in the axes of the camera (x right, y down, z forward, metres), the camera's frustum and a ground.
import {
  AxesHelper, BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, GridHelper, Group, HemisphereLight,
  LineBasicMaterial, LineSegments, Mesh, MeshStandardMaterial, PerspectiveCamera, Scene as World, Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "/static/three/OrbitControls.js";

const FOV = 38; // degrees, of height
const EASE = 0.12; // of the way to where things are, each view: what follows people must be calm
const CELLS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]; // metres that a cell of the ground may measure
const FROM = {
  // where to look from, as directions in the scene (x right, y up, z towards the camera)
  overview: new Vector3(0.75, 0.45, 0.8),
  side: new Vector3(1, 0.08, 0.001),
  above: new Vector3(0, 1, 0.001),
};

export class Scene {
  constructor(canvas, note, buttons) {
    this.canvas = canvas;
    this.note = note;
    this.buttons = buttons;
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.eye = new PerspectiveCamera(FOV, 1, 0.01, 200);
    this.controls = new OrbitControls(this.eye, canvas);
    this.world = new World();
    this.people = new Group(); // camera axes, turned so that y is up
    this.people.rotation.x = Math.PI;
    this.meshes = new Map();
    this.faces = new Map();
    this.centre = null;
    this.radius = 1;
    this.floor = 0;
    this.view = "overview";
    this.asked = false;

    const lamp = new DirectionalLight(0xffffff, 1.7);
    lamp.position.set(0.4, 0.8, 1);
    this.eye.add(lamp);
    this.world.add(this.eye, this.people, new HemisphereLight(0xffffff, 0x8a93a3, 1.6));
    this.frustum = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ transparent: true, opacity: 0.8 }));
    this.axes = new AxesHelper(1);
    this.people.add(this.frustum, this.axes);

    this.controls.addEventListener("change", () => this.ask());
    this.controls.addEventListener("start", () => this.choose(null));
    for (const button of buttons) button.addEventListener("click", () => this.choose(button.dataset.view));
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    this.paint();
    this.resize();
  }

  // Take the colours of the page.
  paint() {
    const style = getComputedStyle(document.documentElement);
    this.line = new Color(style.getPropertyValue("--line").trim());
    this.frustum.material.color.set(style.getPropertyValue("--soft").trim());
    this.cell = null; // the ground is laid again in these colours
    if (this.centre) this.layGround();
    this.ask();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(2, devicePixelRatio));
    this.renderer.setSize(width, height, false);
    this.eye.aspect = width / height;
    this.eye.updateProjectionMatrix();
    this.ask();
  }

  // Draw once before the next picture of the screen, however often it is asked for.
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.renderer.render(this.world, this.eye);
    });
  }

  choose(view) {
    this.view = view;
    for (const button of this.buttons) button.setAttribute("aria-pressed", button.dataset.view === view);
    if (view) this.look(1);
  }

  show(head, meshes) {
    this.head = head;
    this.shown = [head, meshes];
    this.people.scale.x = head.mirrored ? -1 : 1;
    this.keep(new Set(head.subjects.map(({ identity }) => identity)));
    head.subjects.forEach((subject, i) => this.place(subject, meshes[i]));
    this.canvas.dataset.meshes = this.meshes.size; // for those who drive the page
    this.follow(head, meshes);
    this.ask();
  }

  keep(identities) {
    for (const [identity, mesh] of this.meshes) {
      if (identities.has(identity)) continue;
      this.people.remove(mesh);
      mesh.geometry.dispose();
      mesh.material.dispose();
      this.meshes.delete(identity);
    }
  }

  // Have the mesh of a subject where it is; its triangles are asked for once for each kind.
  place(subject, vertices) {
    const faces = this.triangles(subject.kind);
    if (!faces) return;
    let mesh = this.meshes.get(subject.identity);
    if (mesh && (mesh.userData.kind !== subject.kind || mesh.geometry.attributes.position.count !== subject.vertices)) {
      this.keep(new Set([...this.meshes.keys()].filter((identity) => identity !== subject.identity)));
      mesh = undefined;
    }
    if (!mesh) {
      const geometry = new BufferGeometry();
      geometry.setIndex(new BufferAttribute(faces, 1));
      geometry.setAttribute("position", new BufferAttribute(new Float32Array(3 * subject.vertices), 3));
      mesh = new Mesh(geometry, new MeshStandardMaterial({ color: subject.colour, roughness: 0.72, side: DoubleSide }));
      mesh.frustumCulled = false;
      mesh.userData.kind = subject.kind;
      this.meshes.set(subject.identity, mesh);
      this.people.add(mesh);
    }
    const position = mesh.geometry.attributes.position;
    position.array.set(vertices);
    position.needsUpdate = true;
    mesh.geometry.computeVertexNormals();
  }

  triangles(kind) {
    if (!this.faces.has(kind)) {
      this.faces.set(kind, null);
      fetch(`/faces/${kind}`)
        .then((answer) => (answer.ok ? answer.arrayBuffer() : null))
        .then((data) => {
          if (!data) return;
          this.faces.set(kind, new Uint32Array(data));
          this.show(...this.shown); // no other view may come
        })
        .catch(() => this.faces.delete(kind));
    }
    return this.faces.get(kind);
  }

  // Ease the middle, the reach and the ground towards those of the people, and the point looked at with them.
  follow(head, meshes) {
    const low = new Vector3(Infinity, Infinity, Infinity);
    const high = new Vector3(-Infinity, -Infinity, -Infinity);
    for (const values of meshes) {
      for (let i = 0; i < values.length; i += 3) {
        const [x, y, z] = [head.mirrored ? -values[i] : values[i], -values[i + 1], -values[i + 2]];
        low.set(Math.min(low.x, x), Math.min(low.y, y), Math.min(low.z, z));
        high.set(Math.max(high.x, x), Math.max(high.y, y), Math.max(high.z, z));
      }
    }
    if (Number.isFinite(low.x + high.x + low.y + high.y + low.z + high.z)) {
      const centre = low.clone().add(high).multiplyScalar(0.5);
      const radius = Math.max(0.05, 0.5 * high.distanceTo(low));
      const first = this.centre === null || head.mirrored !== this.mirrored;
      const ease = first ? 1 : EASE;
      this.centre = first ? centre : this.centre.lerp(centre, ease);
      this.radius += (radius - this.radius) * ease;
      this.floor += (low.y - this.floor) * ease;
      this.mirrored = head.mirrored;
      this.look(ease);
    }
    if (this.centre) {
      this.layGround();
      this.drawFrustum(head);
    }
  }

  // Move the viewer: wholly by the view chosen, or only along with the people once it was turned by hand.
  look(ease) {
    if (!this.centre || !this.head) return;
    this.widen();
    this.frustum.visible = this.axes.visible = this.view !== "camera";
    const target = this.view === "overview" ? this.middle() : this.centre.clone();
    if (this.view === null) {
      const step = target.sub(this.controls.target).multiplyScalar(EASE);
      this.controls.target.add(step);
      this.eye.position.add(step);
    } else if (this.view === "camera") {
      this.eye.position.set(0, 0, 0);
      this.controls.target.set(0, 0, this.centre.z);
    } else {
      const reach = this.view === "overview" ? 0.72 * this.radius + 0.23 * this.centre.length() : this.radius;
      const narrow = Math.min(1, this.eye.aspect);
      const far = reach / (Math.sin((this.eye.fov * Math.PI) / 360) * narrow);
      const place = FROM[this.view].clone().normalize().multiplyScalar(far).add(target);
      this.controls.target.lerp(target, ease);
      this.eye.position.lerp(place, ease);
    }
    this.controls.update();
    this.ask();
  }

  // From the camera, see just as much as it does; from elsewhere as a calm lens.
  widen() {
    const [width, height] = this.head.size;
    const focal = this.head.intrinsics[1][1];
    const across = (2 * Math.atan(Math.max(height, width / this.eye.aspect) / (2 * focal)) * 180) / Math.PI;
    const fov = this.view === "camera" ? across : this.view === null ? this.eye.fov : FOV;
    if (Math.abs(fov - this.eye.fov) < 1e-6) return;
    this.eye.fov = fov;
    this.eye.updateProjectionMatrix();
  }

  // The point that an overview turns about: the people, a little towards the camera.
  middle() {
    return this.centre.clone().multiplyScalar(0.88);
  }

  layGround() {
    const cell = CELLS.find((size) => size >= this.radius / 5) ?? CELLS.at(-1);
    if (cell !== this.cell) {
      if (this.ground) {
        this.world.remove(this.ground);
        this.ground.geometry.dispose();
        this.ground.material.dispose();
      }
      this.cell = cell;
      this.ground = new GridHelper(24 * cell, 24, this.line, this.line);
      this.world.add(this.ground);
      const told = cell < 0.1 ? `${Math.round(100 * cell)} cm` : `${cell} m`;
      this.note.textContent = `drag to turn · cells of ${told}, as if the camera were level`;
    }
    const snap = (value) => Math.round(value / cell) * cell;
    this.ground.position.set(snap(this.centre.x), this.floor, snap(this.centre.z));
  }

  drawFrustum(head) {
    const [[fx, , cx], [, fy, cy]] = head.intrinsics;
    const [width, height] = head.size;
    const deep = 0.25 * this.centre.length();
    const corner = (x, y) => [((x - cx) / fx) * deep, ((y - cy) / fy) * deep, deep];
    const corners = [corner(-0.5, -0.5), corner(width - 0.5, -0.5), corner(width - 0.5, height - 0.5), corner(-0.5, height - 0.5)];
    const points = [];
    corners.forEach((here, i) => points.push(0, 0, 0, ...here, ...here, ...corners[(i + 1) % 4]));
    this.frustum.geometry.setAttribute("position", new BufferAttribute(new Float32Array(points), 3));
    this.frustum.frustumCulled = false;
    this.axes.scale.setScalar(0.25 * deep);
  }
}
